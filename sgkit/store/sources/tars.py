"""Images in a tar file: by place where the file is not compressed, in one stream where it is.

It is opened so that no file can exhaust the machine: reads are bounded, and decompression bombs are refused.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from sgkit.errors import InputError
from sgkit.runtime.detect import START, detect_bytes
from sgkit.runtime.limits import CHUNK, TooLargeError, check_size, limit_of, open_regular, read_stream, size_of
from sgkit.store.labels.files import DATASET_JSON
from sgkit.store.names import has_image_suffix
from sgkit.store.sources.base import Item, Reader, Source
from sgkit.store.sources.listing import sort_files

DAMAGED = (
    *(tarfile.TarError, EOFError, OSError, ValueError, OverflowError, IndexError, KeyError, RecursionError),
    *(zlib.error, lzma.LZMAError),
)
"""What reading a damaged archive raises."""
MOST_AT_ONCE = 1 << 24
"""Bytes of an extended header, which tarfile reads whole; a few hundred are usual, and files are read in pieces."""
MOST_EMPTY_READS = 8
"""Reads at the end of a file, where some loops of tarfile would wait for more without end."""
BOMB_BYTES, BOMB_RATIO = 1 << 27, 100
"""An archive that has unpacked to this many bytes must not be this many times smaller: images are 1 to 20 times."""
FEW_MEMBERS = 10_000
"""Archives of no more members may be as dense as they like."""
LEAST_PACKED, LEAST_HELD = 20, 32
"""Fewest bytes of the archive, and of content, for each member on average: tiny images of one color take 23 in tar.gz,
and no image file has fewer than 35."""
_OPENERS: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
_NOT_A_FILE = "a link, device, pipe or sparse file; of an archive, only plain files are read"
Place = tuple[int, int] | None
"""Where a member's bytes begin in an uncompressed archive, and their number; ``None`` for what is not a file."""


class TarReader(Reader):
    """Reads members of an uncompressed tar file by their place."""

    def read(self, item: Item) -> bytes:
        """The bytes of the member; fewer than its header promises when the archive ends early."""
        if item.locator is None:
            raise OSError(_NOT_A_FILE)
        offset, length = item.locator
        check_size(length, name=item.name, kind="image")
        with open_regular(self.path) as file:
            file.seek(offset)
            return file.read(length)


class TarSource(Source):
    """All images in a tar file, in the archive's order. A compressed one is read as a stream, once for its names.

    Of members with the same name the last counts, as when they are unpacked. Links are named, but not followed.
    """

    kind = "tar"

    def __init__(self, given: str) -> None:
        super().__init__(given, TarReader(given))
        with open_regular(given) as file:
            self.streamed = bool(_compression(file.read(START)))
        self._json: dict[str, bytes] = {}
        last: dict[str, tuple[int, Place, bytes]] = {}  # name -> number, place and first bytes of its last member
        try:
            for number, (archive, member) in enumerate(members(given)):
                place = _place(member)
                start = b"" if place is None or has_image_suffix(member.name) else self._look(archive, member)
                last[member.name] = (number, place, start)
        except DAMAGED as error:
            raise InputError(f"{given} cannot be read as a tar file: {error}. Is it complete?") from error
        images, self.unused = sort_files(last, lambda name: _start_of(*last[name][1:]))
        self.names = sorted(images, key=lambda name: last[name][0])
        self.locators = [last[name][1] for name in self.names]
        self._numbers = {last[name][0]: index for index, name in enumerate(self.names)}

    def _look(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        """The first bytes of a member without an image's name; a file of labels is kept, as a stream passes once."""
        file = archive.extractfile(member)
        if file is None:
            return b""
        if member.name.rsplit("/", 1)[-1] != DATASET_JSON:
            return file.read(START)
        name = f"{member.name} in {self.given}"
        self._json[member.name] = read_stream(file, name=name, kind="JSON", declared=member.size)
        return b""

    def read_json(self, name: str) -> bytes:
        """The content of a ``dataset.json``, at the root or below."""
        return self._json[name]

    def stream(self, start: int) -> Iterator[Item]:
        """The members from ``start`` on, with their bytes."""
        try:
            for number, (archive, member) in enumerate(members(self.given)):
                if self._numbers.get(number, -1) >= start:
                    yield _item(archive, member)
        except DAMAGED as error:
            raise InputError(
                f"Source {self.given} failed: {error}. What is stored is safe; run the same command again to continue."
            ) from error


def _place(member: tarfile.TarInfo) -> Place:
    return (member.offset_data, member.size) if member.isfile() and not member.issparse() else None


def _item(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Item:
    """A member with its bytes; without them where the reader refuses it."""
    place = _place(member)
    file = archive.extractfile(member) if place and 0 <= member.size <= limit_of("image") else None
    payload = None if file is None else read_stream(file, name=member.name, kind="image")
    return Item(member.name, place, None, payload)


def _start_of(place: Place, start: bytes) -> bytes:
    if place is None:
        raise OSError(_NOT_A_FILE)
    return start


def members(path: str | Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """(archive, member) of what is not a folder in a tar file, compressed or not, in order.

    Raises:
        InputError: it is compressed in a way that is not read.
        TooLargeError: it has far more members than images could be in a file of its size, or is a decompression bomb.
        OSError: it is not a regular file. Anything else of :data:`DAMAGED`: it is damaged, or not a tar file.
    """
    with open_regular(path) as file:
        compression = _compression(file.read(START))
        if compression == "zstd":
            raise InputError(f"{path} is compressed with zstd, which is not read. Unpack it first: zstd -d {path}")
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        bounded: Any = _Unpacked(file, _OPENERS[compression](file), path) if compression else _Bounded(file)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            held = count = 0
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]
                count, held = count + 1, held + max(member.size, 0)
                if count > FEW_MEMBERS and (size < LEAST_PACKED * count or held < LEAST_HELD * count):
                    raise TooLargeError(
                        f"{path} has more than {count - 1:,} members in {size_of(size)}; images take {LEAST_PACKED} "
                        f"bytes each or more in an archive, and {LEAST_HELD} unpacked. If it is genuine, unpack it "
                        "yourself and give the folder."
                    )
                if not member.isdir():
                    yield archive, member


def _compression(start: bytes) -> str:
    """How a tar file that starts with ``start`` is compressed, if it is: its first member may be called ``BZh.png``."""
    kind = detect_bytes(start)
    return kind if kind in (*_OPENERS, "zstd") and start[257:262] != b"ustar" else ""


class _Bounded:
    """A file that refuses to read much at once, and to be read at its end again and again."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._empty = 0
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_AT_ONCE:
            raise tarfile.ReadError(f"a header in it claims {size} bytes; {MOST_AT_ONCE} are allowed")
        data = cast(bytes, self._file.read(size))
        self._empty = 0 if data or not size else self._empty + 1
        if self._empty > MOST_EMPTY_READS:
            raise tarfile.ReadError("it ends in the middle of a header")
        return data


class _Unpacked(_Bounded):
    """The content of a compressed file, from beginning to end; refuses to unpack a decompression bomb."""

    def __init__(self, packed: Any, unpacked: Any, path: str | Path) -> None:
        super().__init__(unpacked)
        self._packed, self._path = packed, path
        self._position = 0
        self.seek, self.tell = self._skip_to, lambda: self._position

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        self._position += len(data)
        if self._position > BOMB_BYTES and self._position > BOMB_RATIO * max(self._packed.tell(), 1):
            raise TooLargeError(
                f"{self._path} unpacks to more than {BOMB_RATIO} times its size, as decompression bombs do. If it is "
                "genuine, unpack it yourself and give the folder."
            )
        return data

    def _skip_to(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("a header in it leads backwards")
        while self._position < position and self.read(min(CHUNK, position - self._position)):
            pass
        return self._position
