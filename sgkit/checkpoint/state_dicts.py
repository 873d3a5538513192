"""State dicts with NVIDIA's tensor names, as :mod:`sgkit.checkpoint.export` writes them: ``.npz`` and ``.safetensors``.

Such a file cannot say how its networks compute, so sgkit's ones carry their configuration; others are refused.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np

from sgkit.checkpoint.adapters import nvidia
from sgkit.checkpoint.adapters.tables import Array, converted
from sgkit.checkpoint.assign import assemble, name_list
from sgkit.checkpoint.foreign import ForeignNetwork
from sgkit.checkpoint.native import is_native
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, ConfigError
from sgkit.model import Model, ModelInfo
from sgkit.unpickle.budget import bad_data
from sgkit.unpickle.inert import shown
from sgkit.unpickle.mapped import mapped_file
from sgkit.unpickle.npz import read_npz
from sgkit.unpickle.safetensors_header import TensorEntry, read_safetensors_header

__all__ = ["ARRAY_KEY", "METADATA_KEY", "is_state_dict", "load_state_dicts"]

METADATA_KEY = "sgkit_state_dict"
"""Entry of a .safetensors header that holds the configuration."""
ARRAY_KEY = "sgkit_state_dict"
"""Array of an .npz that holds it, as text."""
SAFETENSORS_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
"""Its names of the types that weights have."""


def is_state_dict(path: Path) -> bool:
    """Whether a file is an ``.npz``, or a ``.safetensors`` that is no model file but a state dict of sgkit's."""
    if path.suffix == ".npz":
        return True
    with contextlib.suppress(CheckpointError):
        return is_native(path) and METADATA_KEY in read_safetensors_header(path).metadata
    return False


def load_state_dicts(path: Path) -> Model:
    """The model whose state dicts a file holds.

    Raises:
        CheckpointError: the file is damaged, not written by sgkit, or does not fit its configuration.
    """
    try:
        with bad_data("it"):
            header, arrays = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
            return _model(header, arrays)
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"Cannot read state dict {str(path)!r}: {error}") from error


def _model(text: str | None, arrays: dict[str, Array]) -> Model:
    if text is None:
        held = name_list(shown(name).strip("'") for name in arrays) or "nothing"
        raise CheckpointError(
            f"it has no entry {ARRAY_KEY!r}, so how its networks compute is not known; it holds {held}. sgkit reads "
            "the state dicts that 'sgkit convert' wrote, and whole checkpoints of other projects. Latents are given "
            "with --latent."
        )
    try:
        header = json.loads(text)
        config = ModelConfig.from_dict(header["config"])
        info = ModelInfo(kimg=float(header["kimg"]), provenance=dict(header["provenance"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"its header is damaged ({type(error).__name__}: {error}).") from error
    parts = {}
    for name in sorted({name.partition(".")[0] for name in arrays}):
        if name not in nvidia.ROLES:
            raise CheckpointError(f"it holds unknown network {shown(name)}; known are {', '.join(nvidia.ROLES)}.")
        own = {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith(name + ".")}
        network = ForeignNetwork(name, "", {}, own)
        discriminator = name == "D"
        table = nvidia.discriminator_table(config) if discriminator else nvidia.generator_table(config)
        derived = nvidia.derived_tensors(config, discriminator=discriminator)
        parts[nvidia.ROLES[name]] = converted(network, table, derived=derived)
    if "generator" not in parts:
        raise CheckpointError("it holds no averaged generator (G_ema).")
    return assemble(config, parts, info)


def _read_safetensors(path: Path) -> tuple[str | None, dict[str, Array]]:
    """Configuration and arrays, these as views of the file (safetensors' own reader copies all of them)."""
    header = read_safetensors_header(path)
    with path.open("rb") as file:
        body = mapped_file(file)[header.start :]
    return header.metadata.get(METADATA_KEY), {
        name: _array(name, entry, body) for name, entry in header.tensors.items()
    }


def _array(name: str, entry: TensorEntry, body: memoryview) -> Array:
    """One tensor of a safetensors file, a view of the bytes behind its header."""
    if entry.dtype not in SAFETENSORS_TYPES:
        raise CheckpointError(f"array {shown(name)} is of type {entry.dtype}; state dicts hold plain numbers.")
    dtype = np.dtype(SAFETENSORS_TYPES[entry.dtype])
    if entry.first == entry.last:
        return np.zeros(entry.shape, dtype)
    return np.frombuffer(body[entry.first : entry.last], dtype).reshape(entry.shape)


def _read_npz(path: Path) -> tuple[str | None, dict[str, Array]]:
    arrays = read_npz(path, verify=False)  # weights: not all of them are read
    header = arrays.pop(ARRAY_KEY, None)
    return None if header is None else str(header), arrays
