"""What to say when a path is not what a command takes: what it is instead, and what to do with it.

Nothing heavy is imported, so a wrong path is found before torch is loaded.
"""

from __future__ import annotations

import difflib
import itertools
import os
from contextlib import suppress
from pathlib import Path

from sgkit.errors import InputError
from sgkit.runtime.sniff import IMAGES, MODELS, Sniffed, is_url, sniff
from sgkit.text import printable, shell_word

PACKED = frozenset({"gzip", "bzip2", "xz", "zip of a checkpoint"})
"""Kinds from which a checkpoint is unpacked within bounds."""
MODEL_FOLDERS = frozenset({"run", "snapshots"})
LATENT_KINDS = frozenset({"npz", "npy", "torch zip", "torch legacy", "pickle", "projection", "projections"})

IMAGE_FOLDERS = frozenset({"images", "images in subfolders", "zip of images"})
BROKEN = frozenset({"html", "lfs pointer", "annex pointer", "empty", "special"})
"""Kinds that nothing can be read from, whatever is wanted."""
LATENT = "latent.npz"
"""The latent file in the folder of a projection."""

DOWNLOAD = "The download did not bring the file but a page about it (a login, a virus-scan warning, an error). "
PREPARE = "Prepare a store from it: sgkit prepare {path} --out STORE --size 256."
ADVICE: dict[str, str] = {
    "html": DOWNLOAD + "Open the link in a browser and save the file itself; for Google Drive, use the program gdown.",
    "xml": "This is usually the error page of a download. Download the file again.",
    "lfs pointer": "Download the file itself: run 'git lfs pull' in the folder of the repository, or use the download "
    "link of its web page.",
    "annex pointer": "Download the file itself: run 'git annex get' in the folder of the repository.",
    "empty": "The download or copy failed. Download or copy the file again.",
    "text": "If it should be a model, the download failed; the text may say why.",
    "json": "If it should be a model, the download failed; the text may say why.",
    "store": "Train on it: sgkit train {path} --out RUN. See what it holds: sgkit data info {path}",
    "unfinished store": "Finish it by the same 'sgkit prepare' command again.",
    "images": PREPARE + " Then train: sgkit train STORE --out RUN",
    "images in subfolders": PREPARE + " With --labels folders each subfolder becomes a class.",
    "zip of images": PREPARE + " Then train: sgkit train STORE --out RUN",
    "run": "It holds no complete snapshot. Go on training with: sgkit train STORE --out {path} --resume",
    "snapshots": "It holds no complete snapshot.",
    "projection": "It holds the latent of an image. Use it with a model: sgkit generate MODEL --latent {path}",
    "projections": "It holds latents of images. Use them with a model: sgkit generate MODEL --latent {path}",
    "npy": "If it holds latents, use it with a model: sgkit generate MODEL --latent {path}",
    "lmdb": PREPARE,
    "lmdb file": "If it belongs to a data set, prepare a store from its folder: sgkit prepare FOLDER --out STORE",
    "parquet": PREPARE,
    "cut zip": "The download or copy was cut short. Download or copy the file again.",
    "tar": "Unpack it: tar xf {path}",
    "zip": "Unpack it, and give the file in it.",
    "7z": "Unpack it: 7z x {path}",
    "rar": "Unpack it: unrar x {path}",
    "zstd": "Unpack it: unzstd {path}",
    "onnx": "ONNX models cannot be read; look for the checkpoint that it was exported from (.pkl or .pt).",
    "torchscript": "TorchScript programs cannot be read; look for the checkpoint that it was made from (.pkl or .pt).",
    "hdf5": "Models of Keras cannot be read: sgkit reads StyleGAN checkpoints of NVIDIA and of PyTorch projects.",
    "keras": "Models of Keras cannot be read: sgkit reads StyleGAN checkpoints of NVIDIA and of PyTorch projects.",
    "gguf": "GGUF files hold language models; sgkit reads StyleGAN checkpoints.",
    "saved model": "TensorFlow SavedModels cannot be read; of TensorFlow, sgkit reads the .pkl files of NVIDIA's "
    "projects.",
    "models": "Give one of the model files in it.",
    "special": "Give a regular file or a folder.",
}
IMAGE_ADVICE = "To find its latent in a model: sgkit project MODEL {path} --out FOLDER"


def described(found: Sniffed) -> str:
    """``a text file that begins '404: Not Found'``: what a message calls it."""
    if found.kind == "text" and found.detail:
        return f"{found.phrase} that begins '{printable(found.detail, limit=60)}'"
    return found.phrase


def advice(found: Sniffed) -> str:
    """What can be done with it, as one or two sentences; empty where nothing is known."""
    text = IMAGE_ADVICE if found.kind in IMAGES else ADVICE.get(found.kind, "")
    return text.replace("{path}", shell_word(found.path))


def check_model(path: str | Path) -> Sniffed:
    """What is at ``path``, a file or folder that may hold a model.

    Raises:
        InputError: it is missing, a web address, or of another kind; the message says which and what to do with it.
    """
    found = check_exists(path, "model", "Give a model file (.safetensors, .pkl, .pt), or the folder of a training run.")
    if found.kind in MODELS | PACKED | MODEL_FOLDERS or found.kind == "unknown":
        return found
    raise _refused(found, "a model")


def check_latents(path: str | Path) -> Sniffed:
    """What is at ``path``, a file or folder that may hold latents.

    Raises:
        InputError: it is missing, a web address, or of another kind; the message says which and what to do with it.
    """
    found = check_exists(
        path, "latent file", "Give a latent file (.npz, .npy, .pt), or a folder that 'sgkit project' made."
    )
    if found.kind in LATENT_KINDS or found.kind == "unknown":
        return found
    if found.kind in IMAGES | {"images"}:
        raise InputError(
            f"Not a latent file: {found.path} is {found.phrase}. Find its latent first, then give that folder: "
            f"sgkit project MODEL {shell_word(found.path)} --out FOLDER"
        )
    raise _refused(found, "a latent file")


def latent_files(path: str | Path) -> list[Path]:
    """The latent files that ``path`` stands for: itself, or those in a folder of projections, by name.

    Raises:
        InputError: as :func:`check_latents`.
    """
    found = check_latents(path)
    pattern = {"projection": LATENT, "projections": f"*/{LATENT}"}.get(found.kind)
    return [found.path] if pattern is None else sorted(found.path.glob(pattern))


def check_store(path: str | Path) -> Path:
    """``path``, where a store may be.

    Raises:
        InputError: it is missing, a web address, or certainly something else.
    """
    found = check_exists(path, "store", "Make one with: sgkit prepare IMAGES --out STORE --size 64")
    if found.kind in IMAGES | MODELS | MODEL_FOLDERS | IMAGE_FOLDERS | BROKEN:
        raise _refused(found, "a store")
    return found.path


def check_images(path: str | Path) -> str:
    """``path``, where images may be: files, folders, archives, data sets; or ``sample:`` ones.

    Raises:
        InputError: it is missing, a web address, or a download that went wrong.
    """
    if str(path).startswith("sample:"):
        return str(path)
    found = check_exists(path, "file or folder", "Check the spelling.")
    if found.kind in BROKEN:
        raise _refused(found, "a source of images")
    return str(path)


def check_exists(path: str | Path, what: str, allowed: str) -> Sniffed:
    """What is at ``path``, whatever it is; ``what`` names in messages what was expected, and ``allowed`` what to give.

    Raises:
        InputError: it is missing, or a web address.
    """
    if is_url(path):
        scheme, _, rest = str(path).partition(":")
        url = f"{scheme}://{rest.lstrip('/')}"
        raise InputError(
            f"sgkit does not download models or data: {url} is a web address. Download the file first, for example "
            f"with 'curl -LO {url}', and give the file's name."
        )
    found = sniff(path)
    if found.kind == "missing":
        raise InputError(f"There is no {what} {path}.{_similar(Path(path))} {allowed}")
    return found


def _similar(path: Path) -> str:
    """A sentence about what is at or beside ``path`` instead; empty where there is nothing to say."""
    with suppress(OSError, ValueError):
        if path.is_symlink():
            return f" It is a link to {path.readlink()}, which does not exist."
        if not path.parent.is_dir():
            return f" There is no folder {path.parent} either."
        near = difflib.get_close_matches(path.name, _entries(path.parent), n=3, cutoff=0.75)
        if near:
            return f" Did you mean {' or '.join(str(path.with_name(name)) for name in near)}?"
    return ""


def _entries(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in itertools.islice(entries, 1000))


def _refused(found: Sniffed, what: str) -> InputError:
    text = f"Not {what}: {found.path} is {described(found)}. {advice(found)}"
    if found.kind == "models":
        text += f" They are: {', '.join(model_files(found.path)[:8])}."
    return InputError(text.strip())


def model_files(folder: Path) -> list[str]:
    """Names of the files in a folder that look like model files, sorted."""
    suffixes = (".pkl", ".pt", ".pth", ".ckpt", ".model", ".safetensors")
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in suffixes)
