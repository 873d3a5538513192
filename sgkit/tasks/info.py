"""What a file or folder is: a model with its networks and layers, or anything else that sgkit can tell apart."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from sgkit.checkpoint import load, model_file, read_header
from sgkit.checkpoint.assemble import build_empty, builder
from sgkit.checkpoint.loading import form_of
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, CheckpointWarning, InputError, SgkitError
from sgkit.latents.files import load_latents
from sgkit.model import (
    Discriminator,
    Generator,
    LayerSpec,
    Model,
    ModelInfo,
    discriminator_plan,
    not_finite,
    synthesis_plan,
)
from sgkit.model.plan import all_layers
from sgkit.runtime.file_kinds import BROKEN, MODELS, PACKED
from sgkit.runtime.path_checks import check_exists
from sgkit.tasks.identify import FileSummary, identified
from sgkit.text import name_list

NATIVE = "sgkit"


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
    """Result of :func:`info`."""

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


def info(path: str | Path, *, image_size: int | None = None) -> ModelSummary | FileSummary:
    """The summary of a model file, a run folder's best snapshot, or a checkpoint of another tool; or what else it is.

    Args:
        path: the file or folder.
        image_size: for foreign files that do not say it; see :func:`sgkit.load`.

    Raises:
        CheckpointError: the file is damaged, hostile or unsupported.
        InputError: there is nothing at ``path``.
    """
    found = check_exists(path, "file or folder", "Check the spelling.")
    if found.kind in BROKEN:
        raise InputError(f"{found.path} is {found.phrase}. {found.advice}")
    if found.kind not in MODELS | PACKED | {"run", "snapshots", "unknown"}:
        return identified(found, as_latents=found.kind == "npy")
    try:
        return _model_summary(path, image_size)
    except CheckpointError:
        if found.kind == "npz" or (found.kind in MODELS - {"safetensors"} and holds_latents(found.path)):
            return identified(found, as_latents=True)
        raise


def holds_latents(path: Path) -> bool:
    """Whether a file that is not a model can be read as latents."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)
            return len(load_latents(path)) > 0
    except SgkitError:
        return False


def _model_summary(path: str | Path, image_size: int | None) -> ModelSummary:
    file = model_file(path)
    if form_of(file) == "native" and image_size is None:
        header, model = read_header(file), load(file)
        kind, version = NATIVE, header.sgkit_version
    else:
        model, version = load(file, image_size=image_size), None
        kind = str(model.info.provenance.get("source_kind", "state dict"))
    summary = _summary(file, kind, model.config, model.info, model.content_hash(), tuple(model.networks()), version)
    return replace(summary, warnings=tuple(_damage(model)))


def _damage(model: Model) -> Iterator[str]:
    """Networks whose weights are not finite: they cannot be used."""
    for name, network in model.networks().items():
        tensors = not_finite(network)
        if tensors:
            yield (
                f"The {name.replace('_', ' ')} is damaged: NaN or infinity in {len(tensors)} of its tensors "
                f"({name_list(tensors)})."
            )


def _summary(
    file: Path,
    kind: str,
    config: ModelConfig,
    facts: ModelInfo,
    content_hash: str,
    names: tuple[str, ...],
    sgkit_version: str | None,
) -> ModelSummary:
    networks = {name: _empty(name, config) for name in names}
    generator = networks["generator"]
    assert isinstance(generator, Generator)
    return ModelSummary(
        path=file,
        kind=kind,
        bytes=file.stat().st_size,
        sgkit_version=sgkit_version,
        config=config,
        kimg=facts.kimg,
        lod=facts.lod,
        provenance=dict(facts.provenance),
        content_hash=content_hash,
        num_ws=generator.num_ws,
        networks=tuple(_network(name, network) for name, network in networks.items()),
    )


def _empty(name: str, config: ModelConfig) -> Generator | Discriminator:
    """A network without weights, for its names and shapes."""
    build, what = builder(name, config)
    return build_empty(build, what=what)


def _network(name: str, network: Generator | Discriminator) -> NetworkSummary:
    is_generator = isinstance(network, Generator)
    specs = all_layers(synthesis_plan if is_generator else discriminator_plan, network.config)
    prefix = "synthesis." if is_generator else ""
    layers = [
        _layer(f"mapping.{child}", "fully connected", _width(module), module)
        for child, module in (network.mapping.named_children() if hasattr(network, "mapping") else ())
    ]
    for spec in specs.values():
        name_in_file = prefix + spec.name
        layers.append(_layer(name_in_file, spec.kind, _output(spec), network.get_submodule(name_in_file)))
    return NetworkSummary(name=name, parameters=_count(network), layers=tuple(layers))


def _layer(name: str, kind: str, output: tuple[int, ...], module: nn.Module) -> LayerSummary:
    tensors = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    return LayerSummary(name=name, kind=kind, output=output, parameters=_count(module), tensors=tensors)


def _width(module: nn.Module) -> tuple[int, ...]:
    return (len(module.get_parameter("weight")),)


def _output(spec: LayerSpec) -> tuple[int, ...]:
    return (spec.out_channels,) if spec.kind == "head" else (spec.out_channels, *spec.size)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
