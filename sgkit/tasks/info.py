"""What a file or folder is: a model with its networks and layers, or anything else that sgkit can tell apart."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from torch import nn

from sgkit.checkpoint import load, model_file, read_header
from sgkit.checkpoint.loading import form_of
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, CheckpointWarning, InputError, SceneError, SgkitError
from sgkit.latents.direction_header import read_direction_header
from sgkit.latents.files import load_latents
from sgkit.model import Discriminator, Generator, discriminator_plan, not_finite, synthesis_plan
from sgkit.model.plan import all_layers
from sgkit.render.files import open_header, read_sheet, sheet_text, texts_of
from sgkit.render.scene import Sheet
from sgkit.runtime.detect import FileType
from sgkit.runtime.file_kinds import BROKEN, IMAGES, MODELS, PACKED
from sgkit.runtime.path_checks import check_any, latent_files
from sgkit.store.header import read_header as read_store_header
from sgkit.store.header import size_text
from sgkit.text import name_list, shell_word

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """One layer of a network."""

    name: str
    kind: str
    """``fully connected``, or the kind of the plan's layer: ``input``, ``conv``, ``rgb``, ``from_rgb``, ``head``."""
    output: tuple[int, ...]
    """Shape of what it gives for one image, on the canonical canvas: [C, height, width], or [C]."""
    parameters: int
    tensors: dict[str, tuple[int, ...]]
    """Parameters and buffers with their shapes."""


@dataclass(frozen=True, kw_only=True)
class NetworkSummary:
    """One network of a file."""

    name: str
    parameters: int
    layers: tuple[LayerSummary, ...]


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """Result of :func:`info` for a model."""

    path: Path
    kind: str
    """``sgkit``, or the project that wrote the file."""
    bytes: int
    sgkit_version: str | None
    """Of the sgkit that wrote the file; ``None``: another project did."""
    config: ModelConfig
    kimg: float
    lod: float
    provenance: dict[str, Any]
    content_hash: str
    """SHA-256 of the averaged generator, by which latent files name their model."""
    num_ws: int
    networks: tuple[NetworkSummary, ...]
    warnings: tuple[str, ...] = ()
    """Weights that are not finite."""


@dataclass(frozen=True, kw_only=True)
class FileSummary:
    """Result of :func:`info` for a file or folder that is not a model."""

    path: Path
    kind: str
    """A key of :data:`sgkit.runtime.file_kinds.PHRASES`, or ``latents``."""
    what: str
    """In words: ``a JPEG image``."""
    bytes: int | None
    """Size of a file; ``None``: a folder."""
    facts: Facts = field(default_factory=dict)
    """What it holds, as far as it is cheap to tell."""
    advice: str = ""
    """What to do with it."""


def info(path: str | Path, *, image_size: int | None = None) -> ModelSummary | FileSummary:
    """The summary of a model file, a run folder's best snapshot, or a checkpoint of another tool; or what else it is.

    Args:
        path: the file or folder.
        image_size: for foreign files that do not say it; see :func:`sgkit.load`.

    Raises:
        CheckpointError: the file is damaged, hostile or unsupported.
        InputError: there is nothing at ``path``.
    """
    found = check_any(path)
    if found.kind in BROKEN:
        raise InputError(f"{found.path} is {found.phrase}. {found.advice}")
    if found.kind not in MODELS | PACKED | {"run", "snapshots", "unknown"}:
        return _file_summary(found, as_latents=found.kind == "npy")
    try:
        return _model_summary(path, image_size)
    except CheckpointError:
        if found.kind == "npz" or (found.kind in MODELS - {"safetensors"} and _holds_latents(found.path)):
            return _file_summary(found, as_latents=True)
        raise


def _holds_latents(path: Path) -> bool:
    """Whether a file that is not a model can be read as latents."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)
            return len(load_latents(path)) > 0
    except SgkitError:
        return False


# ------------------------------------------------------------------------------------------------- models


def _model_summary(path: str | Path, image_size: int | None) -> ModelSummary:
    file = model_file(path)
    is_native = form_of(file) == "native" and image_size is None
    version = read_header(file).sgkit_version if is_native else None
    model = load(file, image_size=image_size)
    damage = {name: not_finite(network) for name, network in model.networks().items()}
    return ModelSummary(
        path=file,
        kind="sgkit" if is_native else str(model.info.provenance.get("source_kind", "state dict")),
        bytes=file.stat().st_size,
        sgkit_version=version,
        config=model.config,
        kimg=model.info.kimg,
        lod=model.info.lod,
        provenance=dict(model.info.provenance),
        content_hash=model.content_hash(),
        num_ws=model.num_ws,
        networks=tuple(_network_summary(name, network) for name, network in model.networks().items()),
        warnings=tuple(
            f"The {name.replace('_', ' ')} is damaged: NaN or infinity in {len(tensors)} of its tensors "
            f"({name_list(tensors)})."
            for name, tensors in damage.items()
            if tensors
        ),
    )


def _network_summary(name: str, network: Generator | Discriminator) -> NetworkSummary:
    is_generator = isinstance(network, Generator)
    specs = all_layers(synthesis_plan if is_generator else discriminator_plan, network.config)
    prefix = "synthesis." if is_generator else ""
    layers = [
        _layer(f"mapping.{child}", "fully connected", (len(module.get_parameter("weight")),), module)
        for child, module in (network.mapping.named_children() if hasattr(network, "mapping") else ())
    ]
    for spec in specs.values():
        output = (spec.out_channels,) if spec.kind == "head" else (spec.out_channels, *spec.size)
        layers.append(_layer(prefix + spec.name, spec.kind, output, network.get_submodule(prefix + spec.name)))
    return NetworkSummary(name=name, parameters=_count(network), layers=tuple(layers))


def _layer(name: str, kind: str, output: tuple[int, ...], module: nn.Module) -> LayerSummary:
    tensors = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    return LayerSummary(name=name, kind=kind, output=output, parameters=_count(module), tensors=tensors)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# -------------------------------------------------------------------------------------------- other files


def _file_summary(found: FileType, *, as_latents: bool) -> FileSummary:
    facts: Facts = {}
    kind, what, advice = found.kind, found.phrase, found.advice
    if as_latents or kind in ("projection", "projections"):
        kind = kind if found.is_folder else "latents"
        what = found.phrase if found.is_folder else f"{found.phrase} with latents"
        facts, advice = _latents(found.path)
    elif kind == "store":
        facts = _store(found.path)
    elif kind == "deep zoom":
        facts, advice = _deep_zoom(found)
    elif kind == "directions":
        facts = _directions(found.path)
    elif kind in IMAGES:
        facts, is_ours = _image(found.path)
        if is_ours:
            again = f"Make it again, or change it: sgkit replay {shell_word(found.path)}"
            what, advice = f"{found.phrase} made by sgkit", again if "shows" in facts else advice
    elif kind in ("images", "images in subfolders"):
        facts = {"images": _images(found.path)}
    size = None if found.is_folder else found.path.stat().st_size
    return FileSummary(path=found.path, kind=kind, what=what, bytes=size, facts=facts, advice=advice)


def _latents(path: Path) -> tuple[Facts, str]:
    files = latent_files(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = [load_latents(file) for file in files[:16]]
    first = read[0]
    values = {name: list(value.shape[1:]) for name, value in first.values.items()}
    shape = values if first.space == "s" else next(iter(values.values()))
    facts: Facts = {
        "latents": sum(len(one) for one in read) if len(read) == len(files) else f"{len(files)} files",
        "space": first.space,
        "shape of each": shape,
        "names": ", ".join(name for one in read for name in one.names[:16])[:200],
        "noise maps": len(first.noise),
        "label": None if first.label is None else list(first.label.shape[1:]),
        "model": first.model_hash or "not recorded",
    }
    return facts, f"Generate images from it: sgkit generate MODEL --latent {shell_word(path)} --out FOLDER"


def _directions(path: Path) -> Facts:
    header = read_direction_header(path)
    return {
        "directions": len(header.names),
        "names": name_list(header.names),
        "method": header.method,
        "space": header.space,
        "layers of w+": "all" if header.layers is None else list(header.layers),
        "settings": ", ".join(f"{name} {value}" for name, value in header.settings.items())[:200],
        "model": header.model_hash,
    }


def _store(path: Path) -> Facts:
    header = read_store_header(path)
    labels = header.labels.kind if header.labels.kind == "none" else f"{header.labels.kind}, {header.labels.dim}"
    return {
        "images": header.num_images,
        "size": f"{size_text(header.image_size)}, {header.image_channels} channels",
        "encoding": header.encoding,
        "labels": labels,
        "sources": ", ".join(source.given for source in header.sources)[:200],
        "hash": header.content_hash,
    }


def _image(path: Path) -> tuple[Facts, bool]:
    """What the header of an image says, and whether sgkit made it; no pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_header(path) as image:
                facts: Facts = {"size": f"{image.width}x{image.height}", "mode": image.mode, "format": image.format}
                texts = texts_of(image)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        return {"header": f"cannot be read ({type(error).__name__})"}, False
    if sheet_text(texts) is None:
        if texts.pop("Software", "") != "sgkit":
            return facts, False
        old = {str(key): value[:300] for key, value in list(texts.items())[:32] if isinstance(value, str)}
        return facts | {"made by": "sgkit"} | old, True
    try:
        return facts | {"made by": "sgkit"} | _scene(read_sheet(path)), True
    except SceneError as error:
        return facts | {"made by": "sgkit", "scene": str(error)}, True


def _scene(sheet: Sheet) -> Facts:
    scenes = sheet.filled
    subjects = list(dict.fromkeys(name for scene in scenes for name in scene.main()))
    psi = sorted({str(scene.subjects[name].psi) for scene in scenes for name in scene.main()})
    models = dict.fromkeys(model for scene in scenes for model in scene.models.values())
    grid = f" in a grid of {sheet.columns}x{sheet.rows}" if len(sheet.scenes) > 1 else ""
    frames = f", {sheet.frames} frames" if sheet.frames else ""
    pan = sheet.pan
    return {
        "shows": f"{name_list(subjects)}{grid}{frames}",
        "psi": ", ".join(psi[:4]),
        **({} if pan is None else {"view": f"{pan.width}x{pan.height}, moves over the panorama"}),
        "noise": ", ".join(sorted({scene.noise.kind for scene in scenes})),
        "models": [f"{model.path or 'unnamed'} ({model.hash})" for model in models],
    }


def _deep_zoom(found: FileType) -> tuple[Facts, str]:
    again = f"{found.advice} Make it again, or change it: sgkit replay {shell_word(found.path)}"
    try:
        return _scene(read_sheet(found.path)), again
    except SgkitError as error:
        return {"scene": str(error)}, found.advice


def _images(path: Path) -> str:
    """How many files a folder has at the top and one level below, a thousand of each folder at most."""
    folders = [path, *sorted(child for child in path.iterdir() if child.is_dir())[:100]]
    count = sum(len(list(itertools.islice(folder.iterdir(), 1000))) for folder in folders) - len(folders) + 1
    return f"about {count} files in {len(folders)} folder{'s' if len(folders) > 1 else ''}"
