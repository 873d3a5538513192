"""The kinds of files that sgkit reads: a small good file of each, how it is mutated, and what opens it."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import sgkit
from sgkit.checkpoint import export, save
from sgkit.checkpoint.deltas import save_delta, with_delta
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.config.presets import preset
from sgkit.inversion.encoder_file import EncoderHeader, load_encoder, save_encoder
from sgkit.inversion.training_state import load_state, save_state
from sgkit.latents.directions import load_directions, save_directions, unit
from sgkit.latents.files import load_latents
from sgkit.metrics.cache import StatisticsCache
from sgkit.metrics.features import EXTRACTORS
from sgkit.metrics.image_classifier import Head, HeadInfo, ImageClassifier, save_classifier
from sgkit.metrics.statistics import FeatureStatistics
from sgkit.model import Model, ModelInfo, build, new_encoder
from sgkit.render.edit import EditSettings, edit
from sgkit.render.files import read_sheet
from sgkit.render.inputs import Inputs
from sgkit.render.marks import marked
from sgkit.render.render import render
from sgkit.runs.config import RunConfig
from sgkit.runs.folder import RunFolder
from sgkit.runs.logs import read_log
from sgkit.store.images.faces import make_landmarker
from sgkit.tasks.data import info as store_info
from sgkit.tasks.data import verify
from sgkit.tasks.info import info
from sgkit.tasks.prepare import PrepareOptions, prepare
from sgkit.unpickle import load, load_tensors
from tests.fuzz.mutate import Mutator, mutate, mutate_header, mutate_tar, mutate_text, mutate_zip, opcode_places

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SIZE = (16, 16)
Opener = Callable[[Path], object]
CONFIG = ModelConfig(
    image_size=(8, 8),
    z_dim=8,
    w_dim=8,
    mapping=MappingConfig(num_layers=1),
    synthesis=SynthesisConfig(channel_base=16, channel_max=4),
    discriminator=DiscriminatorConfig(channel_base=16, channel_max=4),
)


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    files: dict[str, bytes]
    """What the folder holds; the first one is mutated."""
    open: Opener
    """Reads the first file, given its path; or the folder, where it wants that."""
    mutate: Mutator = mutate
    weight: int = 1
    """How often it is chosen."""


def kinds(scratch: Path) -> list[Kind]:
    """All kinds, their good files made in ``scratch``."""
    return [
        *_models(scratch),
        *_deltas(scratch),
        *_classifiers(scratch),
        *_encoders(scratch),
        *_training_states(scratch),
        *_latents(scratch),
        *_images(),
        *_archives(),
        *_tables(),
        *_stores(scratch),
        *_runs(scratch),
        *_scenes(scratch),
    ]


# ------------------------------------------------------------------------------------------------- models


def _model(path: Path) -> None:
    sgkit.load(path)
    info(path)


def _models(scratch: Path) -> Iterator[Kind]:
    for case, name in (
        ("tf_sg2_cond16", "network-final.pkl"),
        ("tf_pg_unfused_cond16", "network-final.pkl"),
        ("ada_filter_edge16", "network-snapshot-000123.pkl"),
        ("rosi_sg1_32", "010000.model"),
        ("rosi_sg2_train64", "010000.pt"),
    ):
        opener = partial(sgkit.load, image_size=32) if name == "010000.model" else _model
        yield Kind(f"checkpoint {case}", *_pickled(FIXTURES / case / name, opener), 2)
    model = build(CONFIG, seed=3)
    model.info = ModelInfo(kimg=1.0, provenance={"data": "faces"})
    native = save(model, scratch / "model.safetensors")
    yield Kind("model .safetensors", {native.name: native.read_bytes()}, _model, mutate_header, 4)
    for form, name, mutator in (
        ("nvidia", "dict.npz", mutate_zip()),
        ("nvidia", "dict.safetensors", mutate_header),
        ("rosinality", "model.pt", mutate_zip()),
    ):
        export(model, scratch / name, form=form)
        yield Kind(f"{form} {name}", {name: (scratch / name).read_bytes()}, _model, mutator, 2)
    torch.save(torch.load(scratch / "model.pt"), scratch / "old.pt", _use_new_zipfile_serialization=False)
    yield Kind("old torch .pt", *_pickled(scratch / "old.pt", _model), 2)
    torch.save({"a.weight": torch.zeros(3), "n": torch.tensor(1)}, scratch / "weights.pth")
    yield Kind("weights .pth", {"weights.pth": (scratch / "weights.pth").read_bytes()}, load_tensors, mutate_zip())


def _pickled(path: Path, opener: Opener) -> tuple[dict[str, bytes], Opener, Mutator]:
    """The parts of a kind whose file is a pickle, which is changed where its opcodes are."""
    data = path.read_bytes()
    return {path.name: data}, opener, partial(mutate, places=opcode_places(data, lambda: load(path)))


def _directions(path: Path) -> None:
    load_directions(path)
    info(path)
    edit(build(CONFIG), [1], [f"{path}:up=2"], by=EditSettings(steps=1))


def _delta(base: Model, path: Path) -> None:
    with_delta(base, path)
    info(path)


def _deltas(scratch: Path) -> Iterator[Kind]:
    base, tuned = build(CONFIG, seed=3), build(CONFIG, seed=4)
    for rank in (None, 1):
        path = scratch / f"rank{rank}.safetensors"
        save_delta(base, tuned, path, rank=rank, settings={"steps": 3})
        yield Kind(f"delta {path.name}", {path.name: path.read_bytes()}, partial(_delta, base), mutate_header, 3)


def _encoder(model: Model, path: Path) -> None:
    load_encoder(path, model)
    info(path)


def _encoders(scratch: Path) -> Iterator[Kind]:
    model, path = build(CONFIG, seed=3), scratch / "encoder.safetensors"
    header = EncoderHeader(model_hash=model.content_hash(), space="w", images=8, settings={"batch": 8})
    save_encoder(new_encoder(model, rows=1), path, header)
    yield Kind("encoder", {path.name: path.read_bytes()}, partial(_encoder, model), mutate_header, 3)


def _training_state(path: Path) -> None:
    module = torch.nn.Linear(3, 2)
    load_state(path, facts={"seed": 0}, module=module, optimizer=torch.optim.Adam(module.parameters()))


def _training_states(scratch: Path) -> Iterator[Kind]:
    module, path = torch.nn.Linear(3, 2), scratch / "tuned.safetensors.partial"
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save_state(path, done=8, facts={"seed": 0}, module=module, optimizer=optimizer)
    yield Kind("training state", {path.name: path.read_bytes()}, _training_state, mutate_header, 2)


def _classifiers(scratch: Path) -> Iterator[Kind]:
    path, dim = scratch / "classifier.safetensors", EXTRACTORS["effnet"].dim
    head = HeadInfo(name="sex", classes=("f", "m"), accuracy=0.8, chance=0.5, num_images=40, num_held_out=10)
    extractor = SimpleNamespace(name="effnet", content_id="effnet", dim=dim)
    heads = (Head(info=head, weight=np.zeros((2, dim), np.float32), bias=np.zeros(2, np.float32)),)
    save_classifier(ImageClassifier(extractor=extractor, heads=heads), path)
    yield Kind("classifier", {path.name: path.read_bytes()}, info, mutate_header, 3)


def _latents(scratch: Path) -> Iterator[Kind]:
    arrays = {
        "space": np.array("w"),
        "w": np.zeros((1, 64), np.float32),
        "names": np.array(["a"]),
        "model": np.array("x"),
        "noise_b4_conv1": np.zeros((1, 1, 4, 4), np.float32),
    }
    for name, write in (("latent.npz", np.savez), ("packed.npz", np.savez_compressed)):
        write(scratch / name, **arrays)  # type: ignore[arg-type]
        yield Kind(f"latents {name}", {name: (scratch / name).read_bytes()}, load_latents, mutate_zip(), 3)
    np.save(scratch / "w.npy", arrays["w"])
    yield Kind("latents .npy", {"w.npy": (scratch / "w.npy").read_bytes()}, load_latents, weight=2)
    w = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    facts = {"names": ("up", "1"), "signs": ("", ""), "method": "sefa", "model_hash": build(CONFIG).content_hash()}
    path = save_directions(unit({"w": w}, space="w", settings={"samples": 9}, **facts), scratch / "d.safetensors")
    yield Kind("directions", {path.name: path.read_bytes()}, _directions, mutate_header, 3)
    torch.save({"latent": torch.zeros(1, 64), "noise": [torch.zeros(1, 1, 4, 4)]}, scratch / "latent.pt")
    yield Kind("latents .pt", {"latent.pt": (scratch / "latent.pt").read_bytes()}, load_latents, mutate_zip())


# ------------------------------------------------------------------------------------------------- images


def _prepare(path: Path, **options: object) -> None:
    out = path.parent / "out" if path.is_file() else path / "out"
    prepare(path, out, options=PrepareOptions(size=SIZE, **options), workers=1)  # type: ignore[arg-type]


def _prepare_folder(path: Path, **options: object) -> None:
    _prepare(path.parent, **options)


def _image(suffix: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    pixels = np.random.RandomState(0).randint(0, 256, (12, 12, 3)).astype(np.uint8)
    image = Image.fromarray(pixels).convert("RGB" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    image.save(file, suffix, **options)
    return file.getvalue()


def _images() -> Iterator[Kind]:
    for name, data in {
        "png": _image("PNG"),
        "palette.png": _image("PNG", "P"),
        "deep.png": _image("PNG", "I;16"),
        "jpg": _image("JPEG", exif=bytes(Image.Exif().tobytes()) or b"Exif\0\0"),
        "cmyk.jpg": _image("JPEG", "CMYK"),
        "webp": _image("WEBP"),
        "gif": _image("GIF"),
        "bmp": _image("BMP"),
        "ppm": _image("PPM"),
        "tga": _image("TGA"),
        "ico": _image("ICO"),
        "lzw.tif": _image("TIFF", compression="tiff_lzw"),
        "deflate.tif": _image("TIFF", compression="tiff_deflate"),
    }.items():
        yield Kind(f"image {name}", {f"a.{name}": data, "b.png": _image("PNG")}, _prepare_folder)


# ------------------------------------------------------------------------------------------------ archives


LABELS = json.dumps({"labels": [["a.png", 0], ["b.png", 1], ["c.png", 1]]}).encode()
MEMBERS = {"a.png": _image("PNG"), "b.png": _image("JPEG"), "c.png": _image("WEBP"), "dataset.json": LABELS}


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in MEMBERS.items():
            archive.writestr(name, data)
    return file.getvalue()


def _tar(members: dict[str, bytes] = MEMBERS) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def _archives() -> Iterator[Kind]:
    yield Kind("zip", {"a.zip": _zip()}, _prepare, mutate_zip(mutate_text), 4)
    yield Kind("tar", {"a.tar": _tar()}, _prepare, mutate_tar(bytes, bytes), 3)
    yield Kind("tar.gz", {"a.tar.gz": gzip.compress(_tar())}, _prepare, mutate_tar(gzip.compress, gzip.decompress), 3)
    pixels = np.zeros((2, 3072), np.uint8)
    batch = pickle.dumps({b"data": pixels, b"labels": [3, 4], b"filenames": [b"x"] * 2}, protocol=2)
    yield Kind("cifar pickle", {"data_batch_1": batch}, _prepare_folder, weight=3)
    rows = b"".join(bytes([label]) + pixels[0].tobytes() for label in (1, 2))
    yield Kind("cifar binary", {"data_batch_1.bin": rows}, _prepare_folder)
    packed = gzip.compress(_tar({"cifar-10-batches-py/data_batch_1": batch}))
    unpack = mutate_tar(gzip.compress, gzip.decompress)
    yield Kind("cifar archive", {"cifar-10-python.tar.gz": packed}, _prepare, unpack)
    digits = b"\0\0\x08\x03" + np.array([2, 8, 8], ">u4").tobytes() + bytes(128)
    yield Kind("mnist", {"train-images-idx3-ubyte": digits}, _prepare_folder)


def _parquet() -> bytes:
    import pyarrow
    import pyarrow.parquet

    images = [{"bytes": data, "path": name} for name, data in list(MEMBERS.items())[:3]]
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"image": images, "label": [0, 1, 1]}), file)
    return file.getvalue()


def _tables() -> Iterator[Kind]:
    images = {name: data for name, data in MEMBERS.items() if name != "dataset.json"}
    yield Kind("dataset.json", {"dataset.json": LABELS, **images}, _prepare_folder, mutate_text, 3)
    for name, text in {
        "labels.csv": "file,class,x\na.png,1,0.5\nb.png,2,0.25\nc.png,2,1\n",
        "labels.tsv": "file\tclass\na.png\tx\nb.png\ty\nc.png\ty\n",
        "labels.json": '{"a.png": 0, "b.png": 1, "c.png": 1}',
        "labels.jsonl": '{"file_name": "a.png", "label": 0}\n{"file_name": "b.png", "label": 1}\n',
        "list_attr.txt": "3\nSmiling Male\na.png 1 -1\nb.png -1 1\nc.png 1 1\n",
    }.items():
        open_table = partial(_with_labels, name=name)
        yield Kind(f"table {name}", {name: text.encode(), **images}, open_table, mutate_text, 2)
    points = json.dumps({"a.png": [[2, 2], [8, 2], [5, 5], [3, 8], [7, 8]]}).encode()
    yield Kind("landmarks .json", {"points.json": points}, lambda path: make_landmarker(str(path)), mutate_text)
    table = b"file,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4\na.png,2,2,8,2,5,5,3,8,7,8\n"
    yield Kind("landmarks .csv", {"points.csv": table}, lambda path: make_landmarker(str(path)), mutate_text)
    yield Kind("parquet", {"a.parquet": _parquet()}, _prepare, weight=3)


def _with_labels(path: Path, *, name: str) -> None:
    labels = path.rename(path.parent.parent / f"{path.parent.name}-{name}")
    try:
        _prepare(path.parent, labels=str(labels))
    finally:
        labels.unlink()


# -------------------------------------------------------------------------------------------------- stores


def _store(path: Path) -> None:
    verify(path.parent)
    store_info(path.parent)


def _stores(scratch: Path) -> Iterator[Kind]:
    (scratch / "images").mkdir()
    for name, data in MEMBERS.items():
        (scratch / "images" / name).write_bytes(data)
    for encoding in ("png", "raw"):
        out = scratch / f"store-{encoding}"
        prepare(scratch / "images", out, options=PrepareOptions(size=SIZE, encoding=encoding, pyramid=True), workers=1)
        files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
        for name in files:
            mutator = mutate if name.endswith(".mdb") else mutate_text
            first = {name: files[name], **{other: data for other, data in files.items() if other != name}}
            opener = _store if "/" not in name else lambda path: _store(path.parent)
            yield Kind(f"store {encoding} {Path(name).name}", first, opener, mutator, 6 if name.endswith(".mdb") else 1)


# ---------------------------------------------------------------------------------------------------- runs


def _statistics(path: Path, *, name: str, key: dict[str, int]) -> None:
    path.rename(path.with_name(name))
    StatisticsCache(path.parent).load(key, FeatureStatistics(4, ["gaussian", "bank"]))


def _runs(scratch: Path) -> Iterator[Kind]:
    chosen = preset("stylegan2-32", image_size=(32, 32))
    folder = RunFolder(scratch / "run")
    folder.path.mkdir()
    folder.write_config(RunConfig(model=chosen.model, train=chosen.train))
    text = folder.config_file.read_bytes()
    yield Kind("config.toml", {"config.toml": text}, lambda path: RunFolder(path.parent).read_config(), mutate_text, 4)
    line = json.dumps({"kind": "train", "images": 1000, "step": 10, "loss_g": 0.5, "time": 1.0})
    lines = f"{line}\n{line}\n".encode()
    yield Kind("log.jsonl", {"log.jsonl": lines}, lambda path: read_log(path.parent), mutate_text)
    summary = FeatureStatistics(4, ["gaussian", "bank"])
    summary.update(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)))
    cache = scratch / "cache"
    key = {"count": 9}
    StatisticsCache(cache).save(key, summary)
    for path in sorted(cache.glob("*.npz")):
        opener = partial(_statistics, name=path.name, key=key)
        name = "gaussian" if "covariance.npy" in zipfile.ZipFile(path).namelist() else "bank"
        yield Kind(f"statistics {name}", {"x.npz": path.read_bytes()}, opener, mutate_zip())


# ------------------------------------------------------------------------------------------------ scenes

SCENES = [
    {
        "scene": 1,
        "subjects": {
            "a": {"from": {"seed": 1}, "psi": [0.5] * 4, "mix": [{"with": "b", "layers": [0, 1]}]},
            "b": {"from": {"seed": 2}, "cutoff": 2},
        },
        "arrangement": {"kind": "masks", "of": "a", "over": [{"subject": "b", "shape": "box:0.1,0.2,0.6,0.9,0.1"}]},
        "edits": [{"kind": "pad", "at": "4px", "left": 1}, {"kind": "resize", "at": "8px", "width_factor": 2}],
        "noise": {"kind": "random", "seed": 3},
        "batch": 2,
    },
    {
        "scene": 1,
        "subjects": {
            "a": {
                "from": {"seed": 1},
                "moves": [
                    {"direction": "d.safetensors", "name": "up", "strength": 2, "layers": "0-1"},
                    {"direction": "d.safetensors", "name": "1", "strength": [0, 1.5, -1], "at": 0.5},
                    {"layer": "b4_conv1", "channel": 3, "strength": -1.5},
                ],
                "s_psi": [0.5] * 4,
            }
        },
        "arrangement": {"of": "a"},
    },
    {
        "scene": 1,
        "subjects": {"a": {"from": {"seed": 1}}, "b": {"from": {"seed": 2}}},
        "arrangement": {
            "kind": "masks",
            "of": "a",
            "over": [
                {"subject": "b", "shape": "polygon:0.1,0.2,0.6,0.9,0.1,0.5,0.1", "layers": "b8_conv1"},
                {"subject": "a", "shape": {"picture": "mask.png", "softness": 0.1, "inverse": True}},
                {"subject": "b", "shape": "not:radial:0.5,0.5,0.1,0.4"},
            ],
            "layers": "to 8px",
            "mode": "collage",
        },
    },
    {
        "scene": 1,
        "subjects": {"a": {"from": {"seed": 1}}, "b": {"from": {"seed": 2}}},
        "arrangement": {"of": "a"},
        "edits": [
            {
                "kind": "paste",
                "at": "4px",
                "patches": [
                    {"shape": "mask.png", "fill": True},
                    {"shape": "box:0,0,0.5,0.5,0.2", "right": 0.5, "down": -0.25, "mirror": "both", "back": True},
                    {"shape": {"picture": "mask.png"}, "right": 0.1, "from": "b"},
                ],
            },
            {"kind": "repeat", "at": "4px", "box": [0, 0.5, 0.5, 1], "times": 2, "axis": "y", "softness": 0.1},
        ],
    },
    {
        "sheet": 1,
        "scenes": [
            {
                "scene": 1,
                "subjects": {
                    "a": {"from": {"seed": 1}},
                    "b": {"from": {"seed": 2}},
                    "c": {"from": {"through": ["a", "b"], "at": 0.5, "path": "spherical"}},
                },
                "arrangement": {"of": "c"},
            },
            {
                "scene": 1,
                "subjects": {"a": {"from": {"seed": 1}}, "b": {"from": {"seed": 2}}},
                "arrangement": {"kind": "line", "of": ["a", "b"], "overlap": 0.5, "smoothing": 0.7},
                "size": [8, 24],
                "periodic": ["x"],
            },
        ],
        "columns": 2,
        "gap": 1,
        "marks": [{"place": 1, "handle": [1, 2], "target": [3.5, 4]}],
    },
]


SCENES.append(
    {
        # two models, styles by channel, a segmentation, weights and layers of shapes
        "scene": 1,
        "models": {"base": {}, "target": {"path": "other.safetensors"}},
        "subjects": {
            "a": {
                "model": "base",
                "from": {"seed": 1},
                "mix": [{"with": "b", "layers": [1], "channels": {"latent": "q.npz", "index": 0}}],
            },
            "b": {"model": "target", "from": {"seed": 2}},
        },
        "arrangement": {
            "kind": "masks",
            "of": "a",
            "over": [
                {"subject": "b", "shape": "all:0"},
                {"subject": "b", "shape": "soat-box:0.1,0.2,0.6,0.9", "layers": "0-1", "weight": 0.5},
                {"subject": "b", "shape": {"picture": "seg.png", "values": [1, 2], "softness": 0.1}},
            ],
        },
    }
)


SCENES.append(
    {
        # a seed for every place, a map, both axes wrapped, an edit
        "scene": 1,
        "subjects": {"a": {"from": {"endless": 7}, "psi": 0.7}, "b": {"from": {"seed": 2}}},
        "arrangement": {
            "kind": "grid",
            "of": ["a", "b"],
            "columns": 3,
            "rows": 2,
            "map": {"columns": 2, "rows": 1, "of": [0, 1]},
            "overlap": 0.5,
            "blend": "soat",
            "mode": "plane",
            "smoothing": 0.7,
            "tile": 16,
        },
        "size": [16, 24],
        "periodic": ["x", "y"],
        "edits": [{"kind": "crop", "at": "4px", "left": 1}],
    }
)


SCENES.append(
    {
        # a view that moves over a world whose ends join
        "sheet": 1,
        "scenes": [
            {
                "scene": 1,
                "subjects": {"a": {"from": {"endless": 7}}},
                "arrangement": {"kind": "grid", "of": ["a"], "columns": 3, "tile": 16},
                "periodic": ["x"],
            }
        ],
        "frames": 3,
        "fps": 10,
        "pan": {"path": [[0, 0], [24, 0]], "width": 8, "height": 4, "loop": True},
    }
)


def _draw(path: Path) -> None:
    sheet = read_sheet(path)
    if sheet.pan is not None:
        for frame in range(min(sheet.frames, 50)):
            sheet.pan.position(frame, sheet.frames)
        sheet.pan.check(width=24, height=8, wraps=(True, False))
    for scene in sheet.filled:
        if scene.size is None or max(scene.size) < 4096:  # larger ones are allowed, and take their time
            list(render(scene, Inputs(build(CONFIG), folder=path.parent)))
    marked(np.zeros((8, 8, 3), np.uint8), sheet.marks, scale=sheet.scale)


def _scenes(scratch: Path) -> Iterator[Kind]:
    mask = io.BytesIO()
    Image.new("L", (4, 4), 200).save(mask, "PNG")
    moves = (scratch / "d.safetensors").read_bytes()
    parts, channels, model = io.BytesIO(), io.BytesIO(), build(CONFIG)
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) % 3).save(parts, "PNG")
    styles = model.styles(model.map(model.sample_z([0])))
    np.savez(channels, space=np.array("s"), **{f"s_{name}": style.numpy() for name, style in styles.items()})  # type: ignore[arg-type]
    beside = {"mask.png": mask.getvalue(), "d.safetensors": moves}
    beside |= {"seg.png": parts.getvalue(), "q.npz": channels.getvalue()}
    for name, values in zip(
        ("scene", "moves", "masks", "edits", "sheet", "transfer", "plane", "pan"), SCENES, strict=True
    ):
        files = {f"{name}.json": json.dumps(values).encode(), **beside}
        yield Kind(f"{name} .json", files, _draw, mutate_text, 3)
    text = PngInfo()
    text.add_text("sgkit.scene", json.dumps(SCENES[0]))
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=text)
    yield Kind("image with a scene", {"a.png": file.getvalue()}, lambda path: (info(path), _draw(path)), mutate_text, 2)
