"""What of a streamed image is finished: one line of text for each part, with a checksum, that survives any end.

Each process appends to its own file, so that no two write into one. The first line of each says what the parts
belong to: a journal of another scene, model, tile size or version is never continued.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from sgkit.runtime.limits import open_regular

Key = Mapping[str, str]
"""What a journal belongs to: names and values, for example ``{"tile": "512"}``."""
Values = tuple[int, ...]

_LONGEST_LINE = 1 << 16
_VERSION = "1"


class ForeignJournalError(Exception):
    """A journal cannot be continued; the text says why."""


class Journal:
    """The parts that are finished.

    Args:
        folder: where the files of all processes are.
        key: what the parts belong to.
        rank: number of this process.
    """

    def __init__(self, folder: Path, key: Key, *, rank: int = 0) -> None:
        self._folder, self._key, self._path = folder, {"journal": _VERSION, **key}, folder / f"journal-{rank:05d}.txt"
        self._file: IO[bytes] | None = None
        self.done: dict[str, Values] = {}

    def read(self) -> None:
        """Read the files of all processes.

        Raises:
            ForeignJournalError: one belongs to something else, or is damaged. A last line that is cut short is neither:
                it is what a killed process leaves.
        """
        self.done = {}
        for path in sorted(self._folder.glob("journal-*.txt")):
            self.done |= dict(_parts(path, self._key)[0])

    def add(self, part: str, *values: int) -> None:
        """Note that ``part`` is finished; ``values`` are what is needed to verify it."""
        if self._file is None:
            self._file = self._open()
        self._file.write(_line([part, *values]))
        self._file.flush()
        self.done[part] = values

    def close(self) -> None:
        """Close the file of this process."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _open(self) -> IO[bytes]:
        length = _parts(self._path, self._key)[1] if self._path.is_file() else 0
        file = self._path.open("ab")
        file.truncate(length)  # a line that is cut short would spoil the next one
        if length == 0:
            file.write(_line(self._key))
        return file


def _line(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parts(path: Path, key: Key) -> tuple[dict[str, Values], int]:
    """The parts that a file names, and how many of its bytes are whole lines."""
    found: dict[str, Values] = {}
    length, first = 0, True
    with open_regular(path) as file:
        for line, is_last in _lines(file):
            value = _value(line)
            if value is None:
                if is_last:
                    break
                raise ForeignJournalError(f"{path.name} is damaged after {len(found)} parts")
            if first:
                _check_key(value, key)
            else:
                found[value[0]] = tuple(value[1:])
            length, first = length + len(line), False
    return found, length


def _lines(file: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    line = file.readline(_LONGEST_LINE)
    while line:
        following = file.readline(_LONGEST_LINE)
        yield line, not following
        line = following


def _value(line: bytes) -> Any:
    """The value of a line, or ``None`` if it is not a whole one."""
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    with suppress(ValueError, RecursionError):
        if int(line[:8], 16) == zlib.crc32(line[9:-1]):
            value = json.loads(line[9:])
            if isinstance(value, dict) or (
                isinstance(value, list)
                and len(value) > 0
                and isinstance(value[0], str)
                and all(isinstance(one, int) for one in value[1:])
            ):
                return value
    return None


def _check_key(value: Any, key: Key) -> None:
    if not isinstance(value, dict):
        raise ForeignJournalError("its first line is damaged")
    unlike = [name for name in {**key, **value} if key.get(name) != value.get(name)]
    if unlike:
        raise ForeignJournalError(f"it was made with another {' and another '.join(sorted(unlike))}")
