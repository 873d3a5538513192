"""NumPy's files (``.npy`` and ``.npz``), read without NumPy's reader: numbers and text only, in bounded memory."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sgkit.errors import CheckpointError
from sgkit.runtime import limits
from sgkit.unpickle.arrays import DTYPES, num_elements
from sgkit.unpickle.budget import Budget, bad_data
from sgkit.unpickle.mapped import mapped_file, written_bytes
from sgkit.unpickle.stand_ins import shown
from sgkit.unpickle.torch_files import read_pickle
from sgkit.unpickle.zips import unpacked, zip_members

Array = np.ndarray[Any, Any]
NPY_START = b"\x93NUMPY"
MAX_HEADER = 1 << 14
MAX_DIGITS = 30
MAX_TEXT = 1 << 16
"""Characters of a text array's items."""
HEADER_ENTRY = re.compile(
    r"""\s*(?P<quote>['"])(?P<key>\w+)(?P=quote)\s*:\s*"""
    r"""(?:(?P<flag>True|False)|'(?P<text>[^'\\]*)'|"(?P<text2>[^"\\]*)"|\((?P<shape>[0-9L,\s]*)\))\s*(?:,|(?=\}))"""
)


def read_npz(path: str | Path, *, verify: bool = True) -> dict[str, Array]:
    """The arrays of an ``.npz`` by name: views of the mapped file where they are not compressed.

    Args:
        path: the file.
        verify: compare checksums, which reads every byte.

    Raises:
        CheckpointError: it is damaged, holds Python objects or records, or unpacks to far more than its size.
        OSError: it cannot be read.
    """
    with limits.open_regular(path) as file:
        data, budget = mapped_file(file), Budget(written_bytes(file))
    if data[: len(NPY_START)] == NPY_START:
        raise CheckpointError("it holds one bare array (.npy); an .npz holds arrays by name.")
    arrays = {}
    with bad_data("it"):
        for name, member in zip_members(data).items():
            budget.step()
            budget.make(member.size)  # whoever uses the array may copy it
            body = member.data if member.method == 0 and not verify else unpacked(member, budget)
            arrays[name.removesuffix(".npy")] = _parse(name, body)
    return arrays


def read_npy(path: str | Path) -> Array:
    """The array of an ``.npy``, a view of the mapped file.

    Raises:
        CheckpointError: it is damaged, or holds Python objects or records.
        OSError: it cannot be read.
    """
    with limits.open_regular(path) as file, bad_data("it"):
        data = mapped_file(file)
        Budget(written_bytes(file)).make(len(data))
        return _parse(Path(path).name, data)


def _parse(name: str, data: memoryview) -> Array:
    start, width = bytes(data[:12]), {1: 2, 2: 4, 3: 4}.get(data[6] if len(data) > 12 else 0)
    if not start.startswith(NPY_START) or width is None:
        raise CheckpointError(f"array {shown(name)} is damaged: it does not start as an .npy file.")
    first = 8 + width + int.from_bytes(start[8 : 8 + width], "little")
    if first > min(len(data), MAX_HEADER):
        raise CheckpointError(f"array {shown(name)} is damaged: its header has {first} bytes.")
    header = _header(str(data[8 + width : first], "utf-8", "replace"))
    code, shape, body = header.get("descr"), header.get("shape"), data[first:]
    if set(header) != {"descr", "fortran_order", "shape"} or not isinstance(shape, tuple):
        raise CheckpointError(f"array {shown(name)} is damaged: its header is not that of an array of plain numbers.")
    dtype = _dtype(name, str(code), body)
    count = num_elements(shape)
    if count * dtype.itemsize != len(body):
        raise CheckpointError(
            f"array {shown(name)} claims shape {list(shape)} of {dtype}, but {len(body)} bytes are there."
        )
    flat = np.frombuffer(body, dtype) if count else np.zeros(0, dtype)
    if dtype.kind == "U" and count and not _is_text(np.frombuffer(body, dtype.byteorder + "u4")):
        raise CheckpointError(f"array {shown(name)} is damaged: its text has codes that are not characters.")
    return flat.reshape(shape, order="F" if header["fortran_order"] else "C")


def _header(text: str) -> dict[str, Any]:
    """The entries of an .npy header; empty if it is not a table of texts, flags and a shape."""
    text = text.strip()
    found: dict[str, Any] = {}
    place = 1
    while text.startswith("{") and (match := HEADER_ENTRY.match(text, place)):
        place, value = match.end(), match["text"] or match["text2"]
        if match["flag"]:
            value = match["flag"] == "True"
        elif match["shape"] is not None:
            numbers = [number.strip() for number in match["shape"].replace("L", "").split(",")]
            numbers = numbers[:-1] if numbers[-1] == "" else numbers
            if not all(number.isdigit() and len(number) < MAX_DIGITS for number in numbers):
                return {}
            value = tuple(map(int, numbers))
        if match["key"] in found:
            return {}
        found[match["key"]] = value
    return found if text[place:].strip() == "}" else {}


def _dtype(name: str, code: str, body: memoryview) -> np.dtype[Any]:
    """An element type: numbers, booleans or text."""
    kind = code.lstrip("<>|=")
    if kind[:1] == "O":
        raise _object_array(name, body)
    is_text = re.fullmatch(r"U\d{1,6}", kind) is not None and int(kind[1:]) <= MAX_TEXT
    if len(code) > 8 or not (kind in DTYPES or is_text):
        raise CheckpointError(f"array {shown(name)} is of type {shown(code)}; plain numbers and text are read.")
    return np.dtype(code)


def _is_text(codes: Array) -> bool:
    """Whether all are Unicode's; NumPy makes text of any number, and crashes when it is used."""
    return bool(((codes < 0xD800) | ((codes > 0xDFFF) & (codes <= sys.maxunicode))).all())


def _object_array(name: str, body: memoryview) -> CheckpointError:
    """The error that refuses an array of Python objects, saying what its pickle would reach."""
    budget = Budget(len(body))
    with contextlib.suppress(CheckpointError):  # what it reached before that is remembered
        read_pickle(body, budget)
    if not budget.refused:
        budget.refuse(f"a NumPy array of Python objects (member {shown(name)})")
    return budget.refusal()
