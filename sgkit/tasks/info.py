"""What a file or folder is: a model with its networks and layers, or anything else that sgkit can tell apart."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from sgkit.checkpoint import load, model_file, read_header
from sgkit.checkpoint.loading import form_of
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, CheckpointWarning, InputError, SgkitError
from sgkit.latents.files import load_latents
from sgkit.model import Discriminator, Generator, Model, discriminator_plan, not_finite, synthesis_plan
from sgkit.model.plan import all_layers
from sgkit.runtime.detect import FileType
from sgkit.runtime.file_kinds import BROKEN, MODELS, PACKED
from sgkit.runtime.model_names import split_name
from sgkit.runtime.path_checks import check_any
from sgkit.tasks.describe import Facts, describe
from sgkit.text import name_list


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
    """``sgkit``, or the project that wrote the file; of ``MODEL+DELTA``, what it was tuned from."""
    bytes: int
    """Of ``MODEL+DELTA``: those of the delta."""
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
        return _file_summary(found)
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
    name = split_name(file)
    is_native = name.delta is None and form_of(file) == "native" and image_size is None
    version = read_header(file).sgkit_version if is_native else None
    model = load(file, image_size=image_size)
    damage = {name: not_finite(network) for name, network in model.networks().items()}
    return ModelSummary(
        path=file,
        kind=_kind(model, is_native=is_native, is_tuned=name.delta is not None),
        bytes=(name.delta or file).stat().st_size,
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


def _kind(model: Model, *, is_native: bool, is_tuned: bool) -> str:
    if is_tuned:
        return f"sgkit tune, from the model with the hash {model.info.tuned_from[0]}"
    return "sgkit" if is_native else str(model.info.provenance.get("source_kind", "state dict"))


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


def _file_summary(found: FileType, *, as_latents: bool = False) -> FileSummary:
    told = describe(found, as_latents=as_latents)
    return FileSummary(
        path=found.path,
        kind=told.kind or found.kind,
        what=told.what or found.phrase,
        bytes=None if found.is_folder else found.path.stat().st_size,
        facts=told.facts,
        advice=found.advice if told.advice is None else told.advice,
    )
