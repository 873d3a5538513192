"""Arrays and tensors of foreign files: views of the bytes really there, checked before anything is allocated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sgkit.errors import CheckpointError
from sgkit.unpickle.budget import Budget
from sgkit.unpickle.stand_ins import Buildable, shown

MAX_DIMENSIONS = 8
MAX_COUNT = 1 << 48
"""Of elements, and of any one number in a shape or stride: far above real arrays, far below what overflows."""
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

    def __init__(self, budget: Budget, value: np.ndarray[Any, Any] | None = None) -> None:
        self.budget, self.value = budget, value

    def build(self, state: Any) -> None:
        """Take (version, shape, dtype, fortran order, data)."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[1], tuple):
            raise CheckpointError("a NumPy array in it is damaged.")
        _, shape, dtype, fortran, data = state
        self.value = array_of(data, dtype, shape, budget=self.budget, order="F" if fortran is True else "C")


def array_of(
    data: Any, dtype: Any, shape: tuple[Any, ...], *, budget: Budget, order: str = "C"
) -> np.ndarray[Any, Any] | None:
    """The array that ``data`` holds, not copied; ``None`` when its type was refused.

    Its bytes are counted all the same: who uses the array may copy it, and a file may name the same bytes often.
    """
    if not isinstance(dtype, DtypeRecord):
        return None
    if isinstance(data, str):  # written by Python 2
        budget.make(len(data))
        data = memoryview(data.encode("latin-1"))
    kind = dtype.dtype()
    count = num_elements(shape)
    if not isinstance(data, (bytes, memoryview)) or len(data) != count * kind.itemsize:
        held = len(data) if isinstance(data, (bytes, memoryview)) else "no"
        raise CheckpointError(f"an array claims shape {list(shape)} of {kind}, but {held} bytes are there.")
    budget.make(len(data))
    flat = np.frombuffer(data, kind) if count else np.zeros(0, kind)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def num_elements(shape: tuple[Any, ...]) -> int:
    """Product of a shape that came from a file."""
    if not _are_lengths(shape) or math.prod(n or 1 for n in shape) > MAX_COUNT:
        raise CheckpointError(f"{shown(shape)} is not the shape of an array.")
    return math.prod(shape)


def _are_lengths(values: tuple[Any, ...]) -> bool:
    return len(values) <= MAX_DIMENSIONS and all(type(n) is int and 0 <= n <= MAX_COUNT for n in values)


class Storage:
    """The flat data of torch tensors: announced first, filled when its bytes are found.

    The bytes that its tensors show are counted once the data is there, so that a file that is cut short says so.
    """

    def __init__(self, kind: str, count: Any, budget: Budget) -> None:
        if type(count) is not int or not 0 <= count <= MAX_COUNT:
            raise CheckpointError(f"a torch storage claims {shown(count)} elements.")
        self.kind, self.count, self.budget = kind, count, budget
        self.shown_bytes = 0
        self.data: memoryview | None = None

    @property
    def num_bytes(self) -> int:
        """Size by element count and type."""
        return self.count * np.dtype(STORAGE_TYPES[self.kind]).itemsize

    def fill(self, data: memoryview) -> None:
        """Take the bytes."""
        if len(data) != self.num_bytes:
            raise CheckpointError(
                f"a torch storage of {self.count} elements ({self.kind}) needs {self.num_bytes} bytes, "
                f"but {len(data)} are there."
            )
        self.budget.make(self.shown_bytes)
        self.data = data

    @property
    def item_bytes(self) -> int:
        """Bytes of an element once it is read."""
        return np.dtype(np.float32 if self.kind == "BFloat16Storage" else STORAGE_TYPES[self.kind]).itemsize

    def array(self, first: int, last: int) -> np.ndarray[Any, Any]:
        """The elements ``first`` to ``last``, flat; a view of the file except for bfloat16, which is widened."""
        if self.data is None:
            raise CheckpointError("a torch storage has no data in the file.")
        flat = np.frombuffer(self.data, STORAGE_TYPES[self.kind])[first : last + 1]
        if self.kind == "BFloat16Storage":
            return (flat.astype(np.uint32) << 16).view(np.float32)
        return flat


class TensorView:
    """A strided view of a storage; every element is inside it, so none is claimed that is not there.

    The bytes that it shows are counted, and what is made of them is made once: a file may have thousands of views of
    the same storage.
    """

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any) -> None:
        if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
            raise CheckpointError("a torch tensor in it is damaged.")
        count = num_elements(size)
        if not _are_lengths(stride):
            raise CheckpointError(f"{shown(stride)} is not the stride of a tensor.")
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
        storage.shown_bytes += max(count, last - offset + 1) * storage.item_bytes
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride
        self._last = last
        self._array: np.ndarray[Any, Any] | None = None

    def array(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array; not copied unless the storage had to be."""
        if 0 in self.size:
            return np.zeros(self.size, np.float32)
        if self._array is None:
            flat = self.storage.array(self.offset, self._last)
            strides = [s * flat.itemsize for s in self.stride]
            self._array = np.lib.stride_tricks.as_strided(flat, self.size, strides, writeable=False)
        return self._array


def as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """The array that a value of a file represents; ``None`` when it is something else."""
    if isinstance(value, ArrayRecord):
        return value.value
    if isinstance(value, TensorView):
        return value.array()
    return None
