"""Arrays and tensors of foreign files: views of the bytes really there, checked before anything is allocated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sgkit.errors import CheckpointError
from sgkit.unpickle.inert import Buildable, shown

__all__ = [
    "MAX_DIMENSIONS",
    "STORAGE_TYPES",
    "ArrayRecord",
    "DtypeRecord",
    "Storage",
    "TensorView",
    "as_array",
    "num_elements",
]

MAX_DIMENSIONS = 8
DTYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
STORAGE_TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}
"""Names of torch's storage types and their layouts; bfloat16 has no NumPy type and is widened when read."""


class DtypeRecord(Buildable):
    """A NumPy element type as a pickle spells it: numbers and booleans only."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def build(self, state: Any) -> None:
        """Take byte order; refuse records, sub-arrays and metadata."""
        if not isinstance(state, tuple) or len(state) < 8 or state[1] not in ("<", ">", "|", "="):
            raise CheckpointError(f"the NumPy element type {shown(self.code)} is damaged.")
        if any(part is not None for part in state[2:5]):
            raise CheckpointError("it holds NumPy records; checkpoints hold plain numbers.")
        self.order = state[1]

    def dtype(self) -> np.dtype[Any]:
        """The type, with its byte order."""
        return np.dtype(self.order + self.code)


class ArrayRecord(Buildable):
    """A NumPy array or scalar; a view of the file's bytes once it is built."""

    def __init__(self, value: np.ndarray[Any, Any] | None = None) -> None:
        self.value = value

    def build(self, state: Any) -> None:
        """Take (version, shape, dtype, fortran order, data)."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[1], tuple):
            raise CheckpointError("a NumPy array in it is damaged.")
        _, shape, dtype, fortran, data = state
        self.value = array_of(data, dtype, shape, order="F" if fortran is True else "C")


def array_of(data: Any, dtype: Any, shape: tuple[Any, ...], *, order: str = "C") -> np.ndarray[Any, Any] | None:
    """The array that ``data`` holds, not copied; ``None`` when its type was refused.

    Raises:
        CheckpointError: type, shape and number of bytes do not fit together.
    """
    if not isinstance(dtype, DtypeRecord):
        return None
    if isinstance(data, str):  # written by Python 2
        data = memoryview(data.encode("latin-1"))
    kind = dtype.dtype()
    count = num_elements(shape)
    if not isinstance(data, (bytes, memoryview)) or len(data) != count * kind.itemsize:
        held = len(data) if isinstance(data, (bytes, memoryview)) else "no"
        raise CheckpointError(f"an array claims shape {list(shape)} of {kind}, but {held} bytes are there.")
    flat = np.frombuffer(data, kind) if count else np.zeros(0, kind)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def num_elements(shape: tuple[Any, ...]) -> int:
    """Product of a shape that came from a file.

    Raises:
        CheckpointError: it is no shape.
    """
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise CheckpointError(f"{shown(shape)} is not the shape of an array.")
    return math.prod(shape)


class Storage:
    """The flat data behind torch tensors: announced first, filled when its bytes are found."""

    def __init__(self, kind: str, count: Any) -> None:
        if type(count) is not int or count < 0:
            raise CheckpointError(f"a torch storage claims {shown(count)} elements.")
        self.kind, self.count = kind, count
        self.data: memoryview | None = None

    @property
    def num_bytes(self) -> int:
        """Size by element count and type."""
        return self.count * np.dtype(STORAGE_TYPES[self.kind]).itemsize

    def fill(self, data: memoryview) -> None:
        """Take the bytes.

        Raises:
            CheckpointError: there are more or fewer than announced.
        """
        if len(data) != self.num_bytes:
            raise CheckpointError(
                f"a torch storage of {self.count} elements ({self.kind}) needs {self.num_bytes} bytes, "
                f"but {len(data)} are there."
            )
        self.data = data

    def array(self) -> np.ndarray[Any, Any]:
        """The elements, flat; a view of the file except for bfloat16."""
        if self.data is None:
            raise CheckpointError("a torch storage has no data in the file.")
        flat = np.frombuffer(self.data, STORAGE_TYPES[self.kind]) if self.count else np.zeros(0, np.float32)
        if self.kind == "BFloat16Storage":
            return (flat.astype(np.uint32) << 16).view(np.float32)
        return flat


class TensorView:
    """A strided view of a storage; every element lies inside it and none is promised that is not there."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any) -> None:
        if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
            raise CheckpointError("a torch tensor in it is damaged.")
        count = num_elements(size)
        num_elements(stride)  # the same rules: whole numbers, 0 or more, not too many
        if len(size) != len(stride) or type(offset) is not int or offset < 0:
            raise CheckpointError(
                f"a torch tensor of size {shown(size)} has stride {shown(stride)}, offset {shown(offset)}."
            )
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if count else 0
        if last >= max(storage.count, 1) or count > storage.count:
            raise CheckpointError(
                f"a torch tensor of size {list(size)}, stride {list(stride)}, offset {offset} reaches outside its "
                f"storage of {storage.count} elements."
            )
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array; not copied unless the storage had to be."""
        if 0 in self.size:
            return np.zeros(self.size, np.float32)
        flat = self.storage.array()
        strides = [s * flat.itemsize for s in self.stride]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, strides, writeable=False)


def as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """The array that a value of a file stands for; ``None`` when it is something else."""
    if isinstance(value, ArrayRecord):
        return value.value
    if isinstance(value, TensorView):
        return value.array()
    return None
