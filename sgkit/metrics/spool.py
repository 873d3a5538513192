"""Rows of numbers in a temporary file, so that memory does not grow with their number."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
BLOCK = 8192
"""Rows that are read at a time."""


class Spool:
    """Rows float32 [n, width]; the file has no name and ends with the process. Pickled, it carries its rows."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._count = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the rows are needed
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return self._count

    def append(self, rows: Floats) -> None:
        """Add rows [n, width] at the end."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"rows {rows.shape} for a width of {self.width}")
        self._file.write(np.ascontiguousarray(rows, np.float32).data)
        self._count += len(rows)

    def array(self) -> Floats:
        """All rows, mapped from the file: what is not used takes no memory."""
        if not self._count:
            return np.empty((0, self.width), np.float32)
        self._file.flush()
        return np.memmap(self._file, np.float32, "r", shape=(self._count, self.width))

    def blocks(self) -> Iterator[Floats]:
        """The rows, a few at a time."""
        rows = self.array()
        return (np.array(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK))

    def __getstate__(self) -> dict[str, Any]:
        return {"width": self.width, "rows": np.array(self.array())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["width"])  # type: ignore[misc]
        self.append(state["rows"])
