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
from sgkit.checkpoint.assign import assemble
from sgkit.checkpoint.foreign import ForeignNetwork
from sgkit.checkpoint.native import is_native, raw_header, raw_metadata
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError, ConfigError
from sgkit.model import Model, ModelInfo
from sgkit.unpickle.arrays import num_elements
from sgkit.unpickle.inert import shown
from sgkit.unpickle.mapped import mapped_file
from sgkit.unpickle.npz import read_npz

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
        return is_native(path) and METADATA_KEY in raw_metadata(path)
    return False


def load_state_dicts(path: Path) -> Model:
    """The model whose state dicts a file holds.

    Raises:
        CheckpointError: the file is damaged, not written by sgkit, or does not fit its configuration.
    """
    try:
        header, arrays = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
        return _model(header, arrays)
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"Cannot read state dict {str(path)!r}: {error}") from error


def _model(text: str | None, arrays: dict[str, Array]) -> Model:
    if text is None:
        raise CheckpointError(
            f"it has no entry {ARRAY_KEY!r}, so how its networks compute is not known. sgkit reads the state dicts "
            "that 'sgkit convert' wrote, and whole checkpoints of other projects."
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
    text, entries = raw_metadata(path).get(METADATA_KEY), raw_header(path)
    entries.pop("__metadata__", None)
    with path.open("rb") as file:
        data = mapped_file(file)
    body = data[8 + int.from_bytes(data[:8], "little") :]
    return text, {name: _read_entry(name, entry, body) for name, entry in entries.items()}


def _read_entry(name: str, entry: object, body: memoryview) -> Array:
    """One tensor of a safetensors file, a view of the bytes behind its header."""
    found = entry if isinstance(entry, dict) else {}
    kind, shape, place = (found.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(shape, list) or not isinstance(place, list) or [type(n) for n in place] != [int, int]:
        raise CheckpointError(f"array {shown(name)} is damaged.")
    if not isinstance(kind, str) or kind not in SAFETENSORS_TYPES:
        raise CheckpointError(f"array {shown(name)} is of type {shown(kind)}; state dicts hold plain numbers.")
    dtype, (first, last) = np.dtype(SAFETENSORS_TYPES[kind]), place
    count = num_elements(tuple(shape))
    if not 0 <= first <= last <= len(body) or last - first != count * dtype.itemsize:
        raise CheckpointError(
            f"array {shown(name)} claims shape {shape} of {dtype} in bytes {first} to {last} of {len(body)}: the file "
            "is damaged or cut short."
        )
    return np.frombuffer(body[first:last], dtype).reshape(shape) if count else np.zeros(shape, dtype)


def _read_npz(path: Path) -> tuple[str | None, dict[str, Array]]:
    arrays = read_npz(path, verify=False)  # weights: not all of them are read
    header = arrays.pop(ARRAY_KEY, None)
    return None if header is None else str(header), arrays
