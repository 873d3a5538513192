"""sgkit's own model file: one ``.safetensors`` whose header holds the configuration and where the model comes from.

Tensors are named ``generator.*`` (the moving average), ``raw_generator.*`` (as trained) and ``discriminator.*``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open

import sgkit
from sgkit.checkpoint.assemble import NETWORKS, assemble, check_size
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, ConfigError, InputError, UsageError
from sgkit.model import Model, ModelInfo
from sgkit.runtime.files import utf8_name
from sgkit.runtime.tensor_files import write_safetensors
from sgkit.text import name_list
from sgkit.unpickle.budget import bad_data
from sgkit.unpickle.safetensors_header import SafetensorsHeader, read_safetensors_header

FORMAT_VERSION = 1
METADATA_KEY = "sgkit"
KEYS = frozenset({"format_version", "sgkit_version", "config", "kimg", "lod", "provenance", "content_hash"})
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header of a model file says; reading it reads no tensor."""

    config: ModelConfig
    info: ModelInfo
    sgkit_version: str
    content_hash: str
    """SHA-256 of the averaged generator."""
    tensors: dict[str, tuple[str, tuple[int, ...]]]
    """Tensor name -> (dtype as safetensors names it, shape)."""

    @property
    def networks(self) -> dict[str, int]:
        """The networks that the file holds, with their numbers of values."""
        counts: dict[str, int] = {}
        for name, (_, shape) in self.tensors.items():
            network = name.partition(".")[0]
            counts[network] = counts.get(network, 0) + math.prod(shape)
        return {name: counts[name] for name in NETWORKS if name in counts}


def save(model: Model, path: str | Path, *, half: bool = False) -> Path:
    """The path of the model file written: all of the model's networks, its configuration and its provenance.

    Written to a temporary file, then renamed, so that ``path`` is complete or not there.

    Args:
        model: what to write.
        path: the file.
        half: round every number to 16 bits (fp16): half the size. Loading gives the rounded numbers in fp32.

    Raises:
        InputError: ``path`` cannot be written.
        UsageError: it does not end in ``.safetensors``, or a number is too large for 16 bits.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UsageError(f"A model file must be named .safetensors; {path.name!r} was given. See also: sgkit convert.")
    if half:
        model = _rounded(model)
    header = {
        "format_version": FORMAT_VERSION,
        "sgkit_version": sgkit.__version__,
        "config": model.config.to_dict(),
        "kimg": model.info.kimg,
        "lod": model.info.lod,
        "provenance": dict(model.info.provenance),
        "content_hash": model.content_hash(),
    }
    tensors = {
        f"{network}.{name}": (tensor.half() if half else tensor).detach().contiguous()
        for network, module in model.networks().items()
        for name, tensor in module.state_dict().items()
    }
    write_safetensors(tensors, path, key=METADATA_KEY, header=header)
    return path


@torch.no_grad()
def _rounded(model: Model) -> Model:
    """A copy of ``model`` whose numbers fit 16 bits, so that its content hash is that of the file when loaded."""
    model = copy.deepcopy(model)
    for network, module in model.networks().items():
        for name, tensor in module.state_dict().items():
            short = tensor.half()
            if not torch.equal(short.isfinite(), tensor.isfinite()):
                raise UsageError(
                    f"Cannot store this model in 16 bits: {network}.{name} has values up to "
                    f"{float(tensor.abs().max()):.3g}; at most {torch.finfo(torch.half).max:g} is possible. Store it "
                    "in 32 bits, without --half."
                )
            tensor.copy_(short)
    return model


def read_header(path: str | Path) -> Header:
    """The header of a model file; nothing else of the file is read.

    Raises:
        CheckpointError: the file is damaged, of a newer format, or not written by sgkit.
        InputError: the file is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no model file {str(path)!r}.")
    try:
        return _header(read_safetensors_header(path))
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"Cannot read model file {str(path)!r}: {error}") from error


def load_native(path: str | Path, *, device: torch.device | str = "cpu") -> Model:
    """The model that a file written by :func:`save` holds; its tensors are mapped from the file, not copied.

    Raises:
        CheckpointError: the file is damaged or does not fit its own configuration; every misfit is named.
        InputError: the file is missing.
    """
    path = Path(path)
    header = read_header(path)
    try:
        with utf8_name(path) as utf8_path, safe_open(utf8_path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in header.tensors}
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"Cannot read model file {str(path)!r}: it is damaged or cut short ({error}).") from error
    try:
        model = assemble(header.config, _by_network(tensors), header.info)
    except CheckpointError as error:
        raise CheckpointError(f"Cannot use model file {str(path)!r}: {error}") from error
    return model.to(device)  # whole: filters are not in the file


def _header(raw: SafetensorsHeader) -> Header:
    if METADATA_KEY not in raw.metadata:
        raise CheckpointError("sgkit did not write it: its header names no sgkit configuration.")
    with bad_data("its header"):
        values = raw.values(METADATA_KEY, names=KEYS, version=FORMAT_VERSION)
        config = ModelConfig.from_dict(values["config"])
        check_size(config)
        kimg, lod, provenance = float(values["kimg"]), float(values["lod"]), values["provenance"]
        if not (math.isfinite(kimg) and kimg >= 0 and math.isfinite(lod) and isinstance(provenance, dict)):
            raise CheckpointError(
                f"its header is damaged: kimg {kimg} and lod {lod} must be finite numbers, and provenance a table."
            )
        return Header(
            config=config,
            info=ModelInfo(kimg=kimg, lod=lod, provenance=provenance),
            sgkit_version=str(values["sgkit_version"]),
            content_hash=str(values["content_hash"]),
            tensors={name: (entry.dtype, entry.shape) for name, entry in raw.tensors.items()},
        )


def _by_network(tensors: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """Tensors by their names within each network."""
    parts: dict[str, dict[str, T]] = {}
    for name, tensor in tensors.items():
        network, _, rest = name.partition(".")
        parts.setdefault(network, {})[rest] = tensor
    unknown = [network for network in parts if network not in NETWORKS]
    if unknown:
        raise CheckpointError(f"it holds unknown networks: {name_list(unknown)}. Known are: {', '.join(NETWORKS)}.")
    if "generator" not in parts:
        raise CheckpointError("it holds no generator.")
    return parts
