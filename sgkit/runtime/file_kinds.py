"""Every kind of file and folder that sgkit tells apart: what messages call it, and what can be done with it."""

from __future__ import annotations

PHRASES_BY_GROUP: dict[str, dict[str, str]] = {
    "model": {
        "safetensors": "a .safetensors file",
        "torch zip": "a torch file (.pt)",
        "torch legacy": "a torch file (.pt, the format before torch 1.6)",
        "pickle": "a Python pickle (.pkl)",
        "npz": "a NumPy archive (.npz)",
    },
    "packed": {
        "gzip": "a gzip-compressed file",
        "bzip2": "a bzip2-compressed file",
        "xz": "an xz-compressed file",
        "zip of a checkpoint": "a zip archive with a checkpoint in it",
    },
    "model folder": {"run": "a training run folder", "snapshots": "a folder of snapshots"},
    "latents": {
        "npy": "a NumPy array (.npy)",
        "projection": "a projection made by 'sgkit project'",
        "projections": "a folder of projections made by 'sgkit project'",
    },
    "directions": {"directions": "a file of directions made by 'sgkit directions find'"},
    "weights": {
        "delta": "a file of tuned weights made by 'sgkit tune'",
        "encoder": "an encoder made by 'sgkit encoder train'",
        "classifier": "a classifier made by 'sgkit classifier train'",
    },
    "image": {
        "jpeg": "a JPEG image",
        "png": "a PNG image",
        "webp": "a WebP image",
        "gif": "a GIF image",
        "tiff": "a TIFF image",
        "bmp": "a BMP image",
        "heic": "a HEIC image",
        "avif": "an AVIF image",
        "jp2": "a JPEG 2000 image",
        "psd": "a Photoshop file",
        "ico": "an icon (.ico)",
        "pnm": "a PPM or PGM image",
    },
    "images": {
        "images": "a folder of images",
        "images in subfolders": "a folder with subfolders of images",
        "zip of images": "a zip archive of images",
    },
    "broken": {
        "html": "a web page (HTML)",
        "lfs pointer": "a Git LFS pointer, not the file itself",
        "annex pointer": "a git-annex pointer, not the file itself",
        "empty": "an empty file (0 bytes)",
        "special": "a device, pipe or socket, not a regular file",
    },
    "other": {
        "hdf5": "an HDF5 file (.h5, as Keras writes)",
        "keras": "a Keras model (.keras)",
        "onnx": "an ONNX model",
        "gguf": "a GGUF model",
        "torchscript": "a TorchScript program",
        "torch program": "a program of torch.export (.pt2)",
        "saved model": "a TensorFlow SavedModel",
        "lmdb": "an LMDB database",
        "lmdb file": "an LMDB database file",
        "parquet": "a Parquet table",
        "video": "a video",
        "zip": "a zip archive",
        "cut zip": "a zip archive that is cut short",
        "tar": "a tar archive",
        "zstd": "a zstd-compressed file",
        "7z": "a 7z archive",
        "rar": "a RAR archive",
        "xml": "an XML document",
        "json": "a JSON file",
        "text": "a text file",
        "pdf": "a PDF document",
        "executable": "an executable program",
        "store": "an image store made by 'sgkit prepare'",
        "unfinished store": "an unfinished image store ('sgkit prepare' was stopped)",
        "models": "a folder with model files",
        "deep zoom": "a deep-zoom image (a folder of tiles, with a page to look at)",
        "training-state": "an unfinished 'sgkit tune' or 'sgkit encoder train', of which the state is kept",
        "partial image": "an unfinished image, of which the finished tiles are kept",
        "empty folder": "an empty folder",
        "folder": "a folder",
        "unknown": "a file of unknown type",
        "missing": "missing",
    },
}
"""Group -> kind -> what a message calls it, with its article."""

PHRASES = {kind: phrase for group in PHRASES_BY_GROUP.values() for kind, phrase in group.items()}
MODELS, PACKED, MODEL_FOLDERS, LATENTS, IMAGES, IMAGE_SOURCES, BROKEN = (
    frozenset(PHRASES_BY_GROUP[group])
    for group in ("model", "packed", "model folder", "latents", "image", "images", "broken")
)
"""Kinds by group. PACKED: a checkpoint is unpacked from them. BROKEN: nothing can be read from them."""

_PREPARE = "Prepare a store from it: sgkit prepare {path} --out STORE --size 256."
_FAILED = "If it should be a model, the download failed; the text may say why."
_KERAS = "Keras models cannot be read: sgkit reads StyleGAN checkpoints of NVIDIA and of PyTorch projects."
ADVICE: dict[str, str] = {
    "training-state": "The command that was stopped continues from it: run it again.",
    "html": "The download brought a page about the file (a login, a virus-scan warning, an error). Open the link in a "
    "browser and save the file itself; for Google Drive, use the program gdown.",
    "lfs pointer": "Download the file itself: run 'git lfs pull' in the folder of the repository, or use the download "
    "link of its web page.",
    "annex pointer": "Download the file itself: run 'git annex get' in the folder of the repository.",
    "empty": "The download or copy failed. Download or copy the file again.",
    "special": "Give a regular file or a folder.",
    "xml": "This is usually the error page of a download. Download the file again.",
    "text": _FAILED,
    "json": _FAILED,
    "store": "Train on it: sgkit train {path} --out RUN. See what it holds: sgkit data info {path}",
    "unfinished store": "Finish it: run the same 'sgkit prepare' command again.",
    "images": f"{_PREPARE} Then train: sgkit train STORE --out RUN",
    "images in subfolders": f"{_PREPARE} With --labels folders each subfolder becomes a class.",
    "zip of images": f"{_PREPARE} Then train: sgkit train STORE --out RUN",
    "run": "It holds no complete snapshot. Continue training with: sgkit train STORE --out {path} --resume",
    "snapshots": "It holds no complete snapshot.",
    "projection": "It holds the latent of an image. Use it with a model: sgkit generate MODEL --latent {path}",
    "projections": "It holds latents of images. Use them with a model: sgkit generate MODEL --latent {path}",
    "npy": "If it holds latents, use it with a model: sgkit generate MODEL --latent {path}",
    "directions": "List them: sgkit directions list {path}. Use one: sgkit edit MODEL --seeds 0 --move {path}:NAME=2",
    "delta": "Use it with the model that was tuned, joined by a +: sgkit generate MODEL+{path} --seeds 0 --out FOLDER",
    "classifier": "Measure linear separability with it: sgkit metrics MODEL --metrics ls --classifier {path}",
    "encoder": "Start projections from it: sgkit project MODEL IMAGE --encoder {path} --out FOLDER",
    "lmdb": _PREPARE,
    "lmdb file": "If it belongs to a dataset, prepare a store from its folder: sgkit prepare FOLDER --out STORE",
    "parquet": _PREPARE,
    "cut zip": "The download or copy was cut short. Download or copy the file again.",
    "tar": "Unpack it: tar xf {path}",
    "zip": "Unpack it, and give the file in it.",
    "7z": "Unpack it: 7z x {path}",
    "rar": "Unpack it: unrar x {path}",
    "zstd": "Unpack it: unzstd {path}",
    "onnx": "ONNX models cannot be read; look for the checkpoint that it was exported from (.pkl or .pt).",
    "torchscript": "TorchScript programs cannot be read; look for the checkpoint that it was made from (.pkl or .pt).",
    "torch program": "Programs cannot be read; look for the checkpoint that it was exported from (.pkl or .pt).",
    "hdf5": _KERAS,
    "keras": _KERAS,
    "gguf": "GGUF files hold language models; sgkit reads StyleGAN checkpoints.",
    "saved model": "TensorFlow SavedModels cannot be read; of TensorFlow, sgkit reads NVIDIA's .pkl files.",
    "models": "Give one of the model files in it.",
    "deep zoom": "Look at it: open index.html of this folder in a browser.",
    "partial image": "Finish it: give the command that was stopped again. To start over, remove this folder.",
} | dict.fromkeys(IMAGES, "To find its latent in a model: sgkit project MODEL {path} --out FOLDER")
"""Kind -> what to do with it, in a sentence or two; ``{path}`` is replaced by its path."""

CHECKPOINT_SUFFIXES = (".pkl", ".pt", ".pth", ".ckpt", ".model", ".safetensors")
IMAGE_SUFFIXES = frozenset(
    {*(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif")}
    | {*(".ppm", ".pgm", ".tga", ".ico", ".jp2")}
)
