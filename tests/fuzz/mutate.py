"""Seeded mutations of bytes: the same random numbers give the same file on every machine."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from random import Random

import numpy as np

from sgkit.unpickle import unpickler

Mutator = Callable[[bytes, Random], bytes]
HOT = 4096
"""Bytes at the start of a file, where headers and opcodes are."""
REACH = 12
"""Bytes behind an opcode that are likely its argument."""
NUMBERS = [
    *(b"\xff" * 4, b"\xff" * 8, bytes(4), b"\x80\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"),
    *(b"\xff\xff", b"\1\0\0\0\0\0\0\0", b"\0\0\0\0\1\0\0\0", (1 << 62).to_bytes(8, "little")),
]
WORDS = [
    *(b"9" * 30, b"1e999", b"-1", b"0", b"NaN", b"-Infinity", b"1.5", b"true", b"null", b'""', b"[]", b"{}"),
    *(b"[" * 3000, b"{" * 300, b'{"a":' * 2000, b'"', b"\\", b"\x1b[2J", "\u202e".encode(), b"\xff\xfe", b"\0"),
    *(b"18446744073709551616", b"4294967296", b"0.1", b"/dev/zero", b"../../x", b"a" * 5000),
]
TOKEN = re.compile(rb'-?\d[\d.eE+-]*|"[^"\n]{0,80}"|true|false|\w+')


def mutate(data: bytes, random: Random, places: Sequence[int] = ()) -> bytes:
    """Bits and bytes changed, numbers made huge, pieces cut out, repeated, swapped or moved, the end cut off.

    Args:
        data: the file.
        random: decides everything.
        places: where changes matter most, such as opcodes; most changes are made there.
    """
    made = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        size = max(len(made), 1)
        reach = min(size, HOT) if random.random() < 0.6 else size
        place, other = random.randrange(reach), random.randrange(reach)
        if places and random.random() < 0.8:
            place = min(random.choice(places) + random.randrange(REACH), size - 1)
        length = random.choice([1, 2, 4, 8, 16, 64, 200])
        kind = random.randrange(9)
        if kind <= 1:
            made[place : place + 1] = bytes([random.randrange(256)])
        elif kind == 2:
            made[place : place + 1] = bytes([(made[place] if made else 0) ^ (1 << random.randrange(8))])
        elif kind == 3:
            number = random.choice(NUMBERS)
            made[place : place + len(number)] = number
        elif kind == 4:
            del made[place : place + length]
        elif kind == 5:
            made[place:place] = bytes(made[other : other + length]) * random.choice([1, 1, 1, 50])
        elif kind == 6:
            first, second = sorted((place, other))
            made[first : first + length], made[second : second + length] = (
                made[second : second + length],
                made[first : first + length],
            )
        elif kind == 7:
            made[place:place] = random.choice(WORDS)
        else:
            del made[random.randrange(size) :]
    return bytes(made)


def opcode_places(data: bytes, open_file: Callable[[], object]) -> tuple[int, ...]:
    """Where the opcodes of a pickle or torch file are, those of nested streams too: weights hold little to change."""
    places: list[int] = []
    starts: dict[int, bytes] = {}

    def recorded(operation: unpickler.Operation) -> unpickler.Operation:
        def run(machine: unpickler.Unpickler) -> None:
            address = int(np.frombuffer(machine.data, np.uint8).__array_interface__["data"][0])
            starts[address] = bytes(machine.data[:64])
            places.append(address + machine.position - 1)
            operation(machine)

        return run

    known = dict(unpickler.OPERATIONS)
    unpickler.OPERATIONS.update({code: recorded(operation) for code, operation in known.items()})
    try:
        open_file()
    finally:
        unpickler.OPERATIONS.update(known)
    first = min(starts)
    shift = data.index(starts[first]) - first  # in an archive the first pickle is not at the start
    return tuple(sorted({place + shift for place in places if 0 <= place + shift < len(data)}))


def mutate_text(data: bytes, random: Random) -> bytes:
    """A number, name or text replaced by one that is huge, negative, nested, empty, or of another type."""
    tokens = list(TOKEN.finditer(data))
    if not tokens or random.random() < 0.4:
        return mutate(data, random)
    chosen = random.choice(tokens)
    word = random.choice(WORDS) if random.random() < 0.7 else random.choice(tokens).group()
    return data[: chosen.start()] + word + data[chosen.end() :]


def mutate_header(data: bytes, random: Random) -> bytes:
    """A ``.safetensors`` file with its header mutated and the header's length put right."""
    if random.random() < 0.3:
        return mutate(data, random)
    start = 8 + int.from_bytes(data[:8], "little")
    header = mutate_text(data[8:start], random)
    return len(header).to_bytes(8, "little") + header + data[start:]


def mutate_zip(inner: Mutator = mutate) -> Mutator:
    """Mutates a member and packs the archive again, so that its checksum is right; or the archive itself."""

    def run(data: bytes, random: Random) -> bytes:
        if random.random() < 0.4:
            return mutate(data, random)
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
            chosen = random.choice(old.namelist())
            for info in old.infolist():
                content = old.read(info)
                new.writestr(info, inner(content, random) if info.filename == chosen else content)
        return packed.getvalue()

    return run


def mutate_tar(compress: Callable[[bytes], bytes], decompress: Callable[[bytes], bytes]) -> Mutator:
    """Mutates an archive inside of its compression, or the compressed bytes."""

    def run(data: bytes, random: Random) -> bytes:
        if random.random() < 0.3:
            return mutate(data, random)
        plain = bytearray(mutate(decompress(data), random))
        if random.random() < 0.7:
            _put_checksums_right(plain)
        return compress(bytes(plain))

    return run


def _put_checksums_right(archive: bytearray) -> None:
    """A changed header of a tar file is ignored unless its checksum fits."""
    for place in range(0, len(archive) - tarfile.BLOCKSIZE + 1, tarfile.BLOCKSIZE):
        if archive[place + 257 : place + 262] == b"ustar":
            archive[place + 148 : place + 156] = b" " * 8
            total = sum(archive[place : place + tarfile.BLOCKSIZE])
            archive[place + 148 : place + 156] = b"%06o\0 " % (total % 0o1000000)
