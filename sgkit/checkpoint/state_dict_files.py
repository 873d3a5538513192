"""State dicts as ``.npz`` and ``.safetensors``: with NVIDIA's names, as sgkit writes them, and those of other tools.

Such a file cannot say how its networks compute. Those that sgkit writes carry their configuration; all others are read
by their tensors, as state dicts in torch files are.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from sgkit.checkpoint.adapters import model_from, nvidia
from sgkit.checkpoint.adapters.translate import Tensors, translate
from sgkit.checkpoint.assemble import assemble
from sgkit.checkpoint.foreign_file import Array, ForeignNetwork
from sgkit.checkpoint.state_dicts import describe_arrays
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, ConfigError, UsageError
from sgkit.model import Model, ModelInfo
from sgkit.unpickle.budget import bad_data
from sgkit.unpickle.mapped import mapped_file
from sgkit.unpickle.npz import read_npz
from sgkit.unpickle.safetensors_header import TensorEntry, read_safetensors_header
from sgkit.unpickle.stand_ins import shown

CONFIG_KEY = "sgkit_state_dict"
"""Entry of a .safetensors header, or array of an .npz, that holds the configuration as JSON."""
SAFETENSORS_TYPES = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
SAFETENSORS_TYPES |= {"I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1", "BOOL": "?"}
"""Its names of the types that weights have."""


def load_state_dicts(path: Path, *, is_npz: bool, image_size: int | None = None) -> tuple[Model, bool]:
    """(the model whose state dicts a file holds, whether sgkit wrote it).

    Raises:
        CheckpointError: the file is damaged, or does not fit its configuration; or sgkit did not write it and it holds
            no network of a known project.
        UsageError: ``image_size`` is given, but the file says it.
    """
    try:
        with bad_data("it"):
            text, arrays = _read_npz(path) if is_npz else _read_safetensors(path)
            if text is not None and image_size is not None:
                raise UsageError(f"{path.name} records the size of its images. Remove --size {image_size}.")
            if text is not None:
                return _model(text, arrays), True
            described = replace(describe_arrays(arrays, {}), file_name=path.name)
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"Cannot read state dict {str(path)!r}: {error}") from error
    return model_from(described, path, image_size=image_size), False


def _model(text: str, arrays: dict[str, Array]) -> Model:
    with bad_data("its header"):
        header = json.loads(text)
        config = ModelConfig.from_dict(header["config"])
        info = ModelInfo(kimg=float(header["kimg"]), provenance=dict(header["provenance"]))
    parts: dict[str, Tensors] = {}
    for name in sorted({name.partition(".")[0] for name in arrays}):
        if name not in nvidia.ROLES:
            raise CheckpointError(f"it holds unknown network {shown(name)}; known are {', '.join(nvidia.ROLES)}.")
        own = {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith(name + ".")}
        is_discriminator = name == "D"
        table = nvidia.discriminator_rows(config) if is_discriminator else nvidia.generator_rows(config)
        filters = nvidia.filters(config, None, is_discriminator)
        parts[nvidia.ROLES[name]] = translate(ForeignNetwork(name, "", {}, own), table, implied=filters)
    if "generator" not in parts:
        raise CheckpointError("it holds no averaged generator (G_ema).")
    return assemble(config, parts, info)


def _read_safetensors(path: Path) -> tuple[str | None, dict[str, Array]]:
    """Configuration and arrays, these as views of the file (safetensors' own reader copies all of them)."""
    header = read_safetensors_header(path)
    with path.open("rb") as file:
        body = mapped_file(file)[header.start :]
    arrays = {name: _array(name, entry, body) for name, entry in header.tensors.items()}
    return header.metadata.get(CONFIG_KEY), arrays


def _array(name: str, entry: TensorEntry, body: memoryview) -> Array:
    """One tensor of a safetensors file, a view of the bytes after its header."""
    if entry.dtype not in SAFETENSORS_TYPES:
        raise CheckpointError(f"array {shown(name)} is of type {entry.dtype}; state dicts hold plain numbers.")
    dtype = np.dtype(SAFETENSORS_TYPES[entry.dtype])
    if entry.first == entry.last:
        return np.zeros(entry.shape, dtype)
    values = np.frombuffer(body[entry.first : entry.last], dtype).reshape(entry.shape)
    return (values.astype(np.uint32) << 16).view(np.float32) if entry.dtype == "BF16" else values


def _read_npz(path: Path) -> tuple[str | None, dict[str, Array]]:
    arrays = read_npz(path, verify=False)  # weights: not all of them are read
    header = arrays.pop(CONFIG_KEY, None)
    return None if header is None else str(header), arrays
