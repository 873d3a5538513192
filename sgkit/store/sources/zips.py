"""Zip files, opened so that nothing in them takes the machine: declared sizes are checked, and bytes are counted."""

from __future__ import annotations

import bz2
import copy
import io
import lzma
import os
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from sgkit.runtime.limits import Kind, Readable, check_size, open_regular, read_stream, size_of

DAMAGED_ZIP = (
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


def open_zip(path: str | Path) -> zipfile.ZipFile:
    """A zip file whose members lie beside each other in the file.

    Raises:
        OSError: it is not a regular file, or cannot be read.
        zipfile.BadZipFile: it is no zip file, damaged, or a decompression bomb of overlapping members.
    """
    file = open_regular(path)
    try:
        size = os.fstat(file.fileno()).st_size
        archive = zipfile.ZipFile(cast(Any, _Bounded(file, size)))
        members = archive.infolist()
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
    except BaseException:
        file.close()
        raise
    weakref.finalize(archive, file.close)
    return archive


class _Bounded:
    """A file that refuses to read much at once."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def seekable(self) -> bool:
        return True

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
        TooLargeError: it declares or has more bytes than one file of ``kind`` may have.
        OSError: it is damaged, encrypted, or compressed in a way that is not read.
    """
    check_size(member.file_size, name=name, kind=kind)
    with _opened(archive, member) as stream:
        data = read_stream(_Limited(stream, member.file_size + 1), name=name, kind=kind)
    if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
        raise OSError("the data are damaged: they differ from their checksum")
    return data


def member_start(archive: zipfile.ZipFile, member: zipfile.ZipInfo, count: int) -> bytes:
    """The first ``count`` bytes of a member.

    Raises:
        OSError: as :func:`read_member` says.
    """
    with _opened(archive, member) as stream:
        return stream.read(count)


class _Limited:
    """No more than ``most`` bytes of a stream, which may hold more than it declares."""

    def __init__(self, stream: Readable, most: int) -> None:
        self._stream = stream
        self._left = most

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(min(size, self._left))
        self._left -= len(data)
        return data


@contextmanager
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
    except DAMAGED_ZIP as error:
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
