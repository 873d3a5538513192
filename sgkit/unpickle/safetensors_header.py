"""The header of a ``.safetensors`` file: read by itself, in time linear in its size, and checked against the file."""

from __future__ import annotations

import json
import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import sgkit
from sgkit.errors import CheckpointError
from sgkit.runtime import limits
from sgkit.text import name_list
from sgkit.unpickle.arrays import num_elements
from sgkit.unpickle.budget import bad_data
from sgkit.unpickle.stand_ins import shown

MAX_HEADER_BYTES = 1 << 23
"""A model of 1024x1024 pixels has a header of about 100,000 bytes."""
MAX_TENSORS = 10_000
ITEM_BYTES = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2},
    **{"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1},
}
"""Bytes of an element, by the format's names of types."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor is in the bytes after the header."""

    dtype: str
    """A key of :data:`ITEM_BYTES`."""
    shape: tuple[int, ...]
    first: int
    last: int


@dataclass(frozen=True)
class SafetensorsHeader:
    """What the header says; every tensor is inside the file, and they fill it without holes or overlaps."""

    metadata: dict[str, str]
    tensors: dict[str, TensorEntry]
    start: int
    """Where the bytes after the header begin."""

    def values(self, key: str, *, names: AbstractSet[str], version: int) -> dict[str, Any]:
        """The JSON object that the metadata hold under ``key``: one of sgkit's formats, with exactly these ``names``.

        Raises:
            CheckpointError: it has another ``format_version`` or other names.
            KeyError, TypeError, ValueError: it is not there, or no such object; words come from
                :func:`sgkit.unpickle.budget.bad_data`.
        """
        found: dict[str, Any] = json.loads(self.metadata[key])
        given = found["format_version"]
        if given != version:
            raise CheckpointError(
                f"it has format version {str(given)[:20]}; this sgkit ({sgkit.__version__}) reads version "
                f"{version}. Update sgkit."
            )
        if set(found) != names:
            raise CheckpointError(f"its header has unknown or missing keys: {name_list(sorted(set(found) ^ names))}.")
        return found


def read_safetensors_header(path: str | Path) -> SafetensorsHeader:
    """The header of a file; nothing else of it is read.

    Raises:
        CheckpointError: it is damaged, too large, or does not describe the file.
        OSError: the file cannot be read.
    """
    with limits.open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 10 or length > size - 8:
            raise CheckpointError("it is not a .safetensors file, or it is cut short.")
        if length > MAX_HEADER_BYTES:
            raise CheckpointError(f"its header has {length:,} bytes; at most {MAX_HEADER_BYTES:,} are read.")
        text = file.read(length)
    with bad_data("its header"):
        return _checked(text, size - 8 - length)


def float_arrays(path: str | Path, header: SafetensorsHeader) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of a file whose ``header`` was read, all of them F32, as arrays of float32.

    Raises:
        CheckpointError: one is of another type, or not finite; or the file was cut since.
        OSError: the file cannot be read.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    with limits.open_regular(path) as file:
        for name, entry in header.tensors.items():
            if entry.dtype != "F32":
                raise CheckpointError(f"tensor {shown(name)} is of type {entry.dtype}; F32 is expected.")
            file.seek(header.start + entry.first)
            data = file.read(entry.last - entry.first)
            if len(data) != entry.last - entry.first:
                raise CheckpointError("it is cut short. Copy or make it again.")
            values = np.frombuffer(bytearray(data), dtype="<f4").reshape(entry.shape).astype(np.float32, copy=False)
            if not np.isfinite(values).all():
                raise CheckpointError(
                    f"tensor {shown(name)} holds numbers that are not finite (NaN or infinity), so it is damaged. Make "
                    "the file again."
                )
            arrays[name] = values
    return arrays


def _checked(text: bytes, size: int) -> SafetensorsHeader:
    """The header that ``text`` is, with ``size`` bytes after it."""
    entries = _parse(text)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError("its header is damaged: the metadata is not a table of text.")
    if len(entries) > MAX_TENSORS:
        raise CheckpointError(f"it names {len(entries):,} tensors; at most {MAX_TENSORS:,} are read.")
    tensors = {name: _entry(name, entry) for name, entry in entries.items()}
    _check_places(tensors, size)
    return SafetensorsHeader(metadata, tensors, 8 + len(text))


def _parse(text: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise CheckpointError("its header is damaged: it is nested too deeply.") from error
    except ValueError as error:
        raise CheckpointError(f"its header is damaged ({error}).") from error
    if not isinstance(raw, dict):
        raise CheckpointError("its header is damaged: a table is expected.")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table of the pairs; a duplicate key is an error, as readers differ in which one counts."""
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"duplicate key {shown(twice)}")
    return table


def _entry(name: str, entry: object) -> TensorEntry:
    found = entry if isinstance(entry, dict) else {}
    dtype, shape, place = (found.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(shape, list) or not isinstance(place, list) or [type(n) for n in place] != [int, int]:
        raise CheckpointError(f"the entry of tensor {shown(name)} is damaged.")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise CheckpointError(f"tensor {shown(name)} is of type {shown(dtype)}, which is not known.")
    first, last = place
    try:
        count = num_elements(tuple(shape))
    except CheckpointError as error:
        raise CheckpointError(f"tensor {shown(name)} is damaged: {error}") from error
    if last - first != count * ITEM_BYTES[dtype]:
        raise CheckpointError(
            f"tensor {shown(name)} claims shape {shape} of {dtype} in bytes {first} to {last}: the file is damaged."
        )
    return TensorEntry(dtype, tuple(shape), first, last)


def _check_places(tensors: dict[str, TensorEntry], size: int) -> None:
    """Refuse tensors that overlap or leave holes; the format has neither."""
    place = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].first, item[1].last)):
        if entry.first != place:
            fault = "overlaps the tensor before it" if entry.first < place else "leaves a hole before it"
            raise CheckpointError(f"tensor {shown(name)} in bytes {entry.first} to {entry.last} {fault}.")
        place = entry.last
    if place != size:
        short = "is damaged or cut short" if place > size else "has bytes that belong to no tensor"
        raise CheckpointError(f"the file {short}: its tensors need {place} bytes, {size} are there.")
