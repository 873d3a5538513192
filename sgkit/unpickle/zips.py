"""The index of a zip archive and its members, read by hand: every size is checked before anything is made of it.

Members are views of the mapped file. What is compressed is unpacked only where the caller gives a budget for it.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sgkit.errors import CheckpointError
from sgkit.unpickle.budget import Budget
from sgkit.unpickle.stand_ins import shown

ZIP_START = b"PK\x03\x04"
MAX_MEMBERS = 20_000
MAX_COMMENT = 1 << 16
ENTRY = struct.Struct("<4s6H3I5H2I")
"""An entry of the index: signature, ..., flags, method, ..., checksum, packed and full size, lengths, ..., place."""
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
STORED, DEFLATED = 0, 8
FULL32, FULL16 = 0xFFFFFFFF, 0xFFFF


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    data: memoryview
    """Its bytes as they are in the archive: packed, where ``method`` is not 0."""
    method: int
    size: int
    """Bytes when unpacked, as the archive says."""
    checksum: int


def stored_members(data: memoryview, *, needed: Callable[[str], bool] | None = None) -> dict[str, memoryview]:
    """The members of an archive, or those whose names are ``needed``, as views of ``data``; nothing is unpacked."""
    members = {name: member for name, member in zip_members(data).items() if needed is None or needed(name)}
    for member in members.values():
        if member.method != STORED:
            raise CheckpointError(
                f"the archive's member {shown(member.name)} is compressed ({len(member.data)} bytes claim to be "
                f"{member.size}); checkpoints are stored plain. Unpack the archive and pack it without compression."
            )
    return {name: member.data for name, member in members.items()}


def unpacked(member: Member, budget: Budget) -> memoryview:
    """The bytes of a member, checked against its checksum: a view where it is stored plain."""
    name, made = shown(member.name), member.data
    if member.method not in (STORED, DEFLATED):
        raise CheckpointError(f"the archive's member {name} is packed by method {member.method}; only deflate is read.")
    if member.method == DEFLATED:
        budget.make(member.size)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            made = memoryview(unpacker.decompress(member.data, member.size + 1))  # 0 would mean: without a bound
        except zlib.error as error:
            raise CheckpointError(f"the archive's member {name} is damaged ({error}).") from error
    if len(made) != member.size or zlib.crc32(made) != member.checksum:
        raise CheckpointError(f"the archive's member {name} is damaged: its size or checksum is not what it should be.")
    return made


def zip_members(data: memoryview) -> dict[str, Member]:
    """The files in an archive by name; nothing is unpacked."""
    members: dict[str, Member] = {}
    places: list[tuple[int, int]] = []
    try:
        for entry in _entries(data):
            member, place = _member(data, *entry)
            if member.name in members:
                raise CheckpointError(f"the archive holds {shown(member.name)} twice.")
            places.append(place)
            if not member.name.endswith("/"):
                members[member.name] = member
    except (struct.error, IndexError, ValueError) as error:
        raise CheckpointError(f"the archive is damaged or cut short ({type(error).__name__}).") from error
    places.sort()
    if any(last > start for (_, last), (start, _) in itertools.pairwise(places)):
        raise CheckpointError("members of the archive overlap, which never happens in genuine files.")
    return members


def _entries(data: memoryview) -> Iterator[tuple[tuple[int, ...], str]]:
    """The numbers of each entry of the index, with its name."""
    count, size, place = _index(data)
    if count > MAX_MEMBERS:
        raise CheckpointError(f"the archive has {count} members; at most {MAX_MEMBERS} are allowed.")
    index = data[place : place + size]
    if len(index) != size:
        raise CheckpointError("the archive is damaged or cut short: its index is outside the file.")
    place = 0
    for _ in range(count):
        signature, *fields = ENTRY.unpack_from(index, place)
        if signature != b"PK\x01\x02":
            raise CheckpointError("the archive is damaged: an entry of its index does not start as one.")
        flags, method, checksum = fields[2], fields[3], fields[6]
        packed, full, name_size, extra_size, comment_size, offset = *fields[7:12], fields[15]
        place += ENTRY.size
        name = str(index[place : place + name_size], "utf-8" if flags & 0x800 else "cp437")
        extra = bytes(index[place + name_size : place + name_size + extra_size])
        full, packed, offset = _wide(extra, full, packed, offset)
        yield (flags, method, checksum, packed, full, offset), name.partition("\0")[0]
        place += name_size + extra_size + comment_size


def _index(data: memoryview) -> tuple[int, int, int]:
    """How many entries the index has, its size and its place."""
    first = max(len(data) - END.size - MAX_COMMENT, 0)
    tail = bytes(data[first:])
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise CheckpointError("the archive is damaged or cut short (it has no index at its end).")
    _, _, _, _, count, size, place, _ = END.unpack_from(tail, end)
    locator = tail[end - 20 : end] if end >= 20 else b""
    if locator[:4] == b"PK\x06\x07" and FULL16 in (count, size & FULL16, place & FULL16):
        at = int.from_bytes(locator[8:16], "little")
        signature, *numbers = END64.unpack(data[at : at + END64.size])
        if signature == b"PK\x06\x06":
            count, size, place = numbers[6], numbers[7], numbers[8]
    return count, size, place


def _wide(extra: bytes, *numbers: int) -> list[int]:
    """``numbers``, those that are too large for 32 bits taken from the zip64 field of ``extra``."""
    found, place = list(numbers), 0
    if FULL32 not in numbers:
        return found
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, place + 4))
            return [next(wide, number) if number == FULL32 else number for number in found]
        place += 4 + length
    return found


def _member(data: memoryview, entry: tuple[int, ...], name: str) -> tuple[Member, tuple[int, int]]:
    """A member, and where it is from its local header to its end."""
    flags, method, checksum, packed, full, offset = entry
    said = shown(name)
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name:
        raise CheckpointError(f"the archive has a member with an unsafe name: {said}.")
    if flags & 1 or (method == STORED and packed != full):
        raise CheckpointError(f"the archive's member {said} is encrypted, or {packed} bytes claim to be {full}.")
    header = bytes(data[offset : offset + 30])
    if len(header) < 30 or header[:4] != ZIP_START:
        raise CheckpointError(f"the archive's member {said} is not where its index says.")
    start = offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    if start + packed > len(data):
        raise CheckpointError(f"the archive's member {said} reaches past the end of the file: it is cut short.")
    return Member(name, data[start : start + packed], method, full, checksum), (offset, start + packed)
