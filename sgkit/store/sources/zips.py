"""Images in a zip file. It is opened so that no file can exhaust the machine: sizes are checked, and bytes counted."""

from __future__ import annotations

import bz2
import contextlib
import copy
import io
import lzma
import os
import weakref
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from sgkit.errors import InputError
from sgkit.runtime.detect import START
from sgkit.runtime.limits import Kind, Readable, check_size, open_regular, size_of
from sgkit.store.sources.base import Item, Reader, Source
from sgkit.store.sources.listing import sort_files

DAMAGED = (
    *(zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError, IndexError, KeyError),
    *(RuntimeError, zlib.error, lzma.LZMAError),
)
"""What reading a damaged archive raises; RuntimeError where a password is needed."""
MOST_AT_ONCE = 1 << 28
"""Bytes of the list of members, which zipfile reads whole: enough for three million."""
MOST_FOR_LITTLE = 1 << 25
"""The same where the list is more than a quarter of the file: no images are so small."""
LOCAL_HEADER = 30
FEW_MEMBERS, LEAST_HELD = 10_000, 32
"""With more members than the first, files hold at least the second in bytes, on average: no image has fewer than 35."""
MOST_DICTIONARY = 1 << 26
"""Bytes of memory that a member compressed with LZMA may ask for."""


class ZipReader(Reader):
    """Reads members of a zip file."""

    def read(self, item: Item) -> bytes:
        """The bytes of the member."""
        archive = self.opened(open_zip)
        return read_member(archive, archive.getinfo(item.locator), name=item.name, kind="image")

    def start(self, item: Item) -> bytes:
        """The first bytes of the member."""
        archive = self.opened(open_zip)
        return member_start(archive, archive.getinfo(item.locator))


class ZipSource(Source):
    """All images in a zip file, in sorted order of their names; of equal names the last counts, as when unpacked."""

    kind = "zip"

    def __init__(self, given: str) -> None:
        super().__init__(given, ZipReader(given))
        try:
            with open_zip(given) as archive:
                members = {info.filename: _name(info) for info in archive.infolist() if not info.is_dir()}
                taken = Counter(members.values())
                self._members = {name if taken[name] == 1 else raw: raw for raw, name in members.items()}
                self.names, self.unused = sort_files(
                    sorted(self._members), lambda name: member_start(archive, archive.getinfo(self._members[name]))
                )
        except (*DAMAGED, OSError) as error:
            raise InputError(f"{given} cannot be opened as a zip file: {error}. Is it complete?") from error
        self.locators = [self._members[name] for name in self.names]

    def read_json(self, name: str) -> bytes:
        """The content of a ``dataset.json``, at the root or below."""
        try:
            with open_zip(self.given) as archive:
                member = archive.getinfo(self._members[name])
                return read_member(archive, member, name=f"{name} in {self.given}", kind="JSON")
        except (*DAMAGED, OSError) as error:
            raise InputError(
                f"{name} in {self.given} cannot be read: {error}. Make the archive again, or use --labels none."
            ) from error


def _name(info: zipfile.ZipInfo) -> str:
    r"""A member's name with forward slashes, which some Windows programs leave out; UTF-8 where it is not declared, as
    macOS writes it.
    """
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def open_zip(path: str | Path) -> zipfile.ZipFile:
    """A zip file whose members do not overlap.

    Raises:
        OSError: it is not a regular file, or cannot be read.
        zipfile.BadZipFile: it is not a zip file, is damaged, or is a decompression bomb.
    """
    file = open_regular(path)
    try:
        size = os.fstat(file.fileno()).st_size
        archive = zipfile.ZipFile(cast(Any, _Bounded(file, size)))
        _refuse_bombs(archive.infolist(), size)
    except BaseException:
        file.close()
        raise
    weakref.finalize(archive, file.close)
    return archive


def _refuse_bombs(members: list[zipfile.ZipInfo], size: int) -> None:
    claimed = sum(member.compress_size + LOCAL_HEADER + len(member.filename) for member in members)
    if claimed > size:
        raise zipfile.BadZipFile(
            f"its {len(members):,} members claim {size_of(claimed)} of a file of {size_of(size)}: it is damaged, "
            "or a decompression bomb of overlapping members"
        )
    held = sum(member.file_size for member in members)
    files = sum(not member.is_dir() for member in members) if len(members) > FEW_MEMBERS else 0
    if files > FEW_MEMBERS and held < LEAST_HELD * files:
        raise zipfile.BadZipFile(
            f"its {files:,} files hold {size_of(held)} together, which cannot be images. If it is genuine, unpack "
            "it yourself and give the folder"
        )


class _Bounded:
    """A file that refuses to read much at once."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.seek, self.tell, self.close, self.seekable = file.seek, file.tell, file.close, file.seekable

    def read(self, size: int = -1) -> bytes:
        wanted = self._size - self._file.tell() if size < 0 else size
        allowed = MOST_AT_ONCE if wanted < self._size / 4 else MOST_FOR_LITTLE
        if wanted > allowed:
            raise zipfile.BadZipFile(
                f"its list of members claims {size_of(wanted)}; {size_of(allowed)} are allowed here"
            )
        return self._file.read(size)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, name: str, kind: Kind) -> bytes:
    """The bytes of a member.

    Raises:
        TooLargeError: it declares more bytes than one file of ``kind`` may have.
        OSError: it is damaged, encrypted, or compressed in a way that is not read.
    """
    check_size(member.file_size, name=name, kind=kind)
    with _opened(archive, member) as stream:
        data = stream.read(member.file_size + 1)  # it may hold more than it declares
    if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
        raise OSError("the data are damaged: they differ from their checksum")
    return data


def member_start(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The first bytes of a member; errors as in :func:`read_member`."""
    with _opened(archive, member) as stream:
        return stream.read(START)


@contextlib.contextmanager
def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[Readable]:
    if member.flag_bits & 1:
        raise OSError("it is encrypted; unpack the archive with its password, and give the folder")
    try:
        if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with archive.open(member) as stream:
                yield stream
        elif member.compress_type in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            with archive.open(_packed(member)) as packed:
                yield bz2.BZ2File(packed) if member.compress_type == zipfile.ZIP_BZIP2 else _lzma(packed)
        else:
            raise OSError(f"its compression (method {member.compress_type}) is not read; make the archive again")
    except DAMAGED as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _packed(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """The member as if it were not compressed: zipfile unpacks these methods without a bound on what comes out."""
    packed = copy.copy(member)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
    del packed.CRC
    return packed


def _lzma(packed: Any) -> Readable:
    """What a member compressed with LZMA holds: four bytes of version and length, five of properties, raw LZMA data."""
    start = packed.read(4)
    properties = packed.read(int.from_bytes(start[2:4], "little"))
    if len(properties) != 5:
        raise zipfile.BadZipFile("the properties of LZMA are damaged")
    rest, lc = divmod(properties[0], 9)
    pb, lp = divmod(rest, 5)
    dictionary = int.from_bytes(properties[1:], "little")
    if dictionary > MOST_DICTIONARY:
        raise zipfile.BadZipFile(
            f"LZMA asks for {size_of(dictionary)} of memory; {size_of(MOST_DICTIONARY)} are allowed"
        )
    chosen = {"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, 4096), "lc": lc, "lp": lp, "pb": pb}
    return cast(Readable, io.BufferedReader(cast(Any, lzma.LZMAFile(packed, format=lzma.FORMAT_RAW, filters=[chosen]))))
