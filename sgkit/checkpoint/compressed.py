"""Checkpoints in a zip archive or a compressed stream: unpacked into a temporary file, within bounds.

Weights hardly compress, so a file that unpacks to many times its size holds none.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgkit.errors import CheckpointError
from sgkit.runtime.detect import FileType, detect
from sgkit.runtime.file_kinds import CHECKPOINT_SUFFIXES, MODELS, PACKED
from sgkit.runtime.limits import size_of
from sgkit.text import printable

MAX_RATIO = 32
"""How many times larger than packed a checkpoint may be."""
ALWAYS_ALLOWED = 1 << 24
"""Bytes that are allowed in any case."""
CHUNK = 1 << 20
XZ_MEMORY = 1 << 28
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError)
"""What damaged archives raise in Python's readers (NotImplementedError is a RuntimeError)."""


@contextmanager
def unpacked(found: FileType) -> Iterator[Path]:
    """The file itself, or the checkpoint inside of it, which is removed when the block ends."""
    if found.kind not in PACKED:
        yield found.path
        return
    path = found.path
    name = path.stem if path.suffix.lower() in (".gz", ".gzip", ".bz2", ".xz") else path.name
    with tempfile.TemporaryDirectory(prefix="sgkit-", ignore_cleanup_errors=True) as folder:
        member = _member(path) if found.kind == "zip of a checkpoint" else ""
        inner = Path(folder) / (Path(member).name or name or "checkpoint")
        _unpack(found, member, inner)
        held = detect(inner)
        if held.kind not in MODELS:
            advice = held.advice.replace(str(inner), inner.name) or "Unpack it, and give the model file in it."
            raise CheckpointError(f"Not a model: {path} is {found.phrase} with {held.phrase} in it. {advice}")
        yield inner


def _member(path: Path) -> str:
    """The one checkpoint of an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(CHECKPOINT_SUFFIXES) and "__MACOSX" not in n]
            info = archive.getinfo(names[0]) if len(names) == 1 else None
    except DAMAGE as error:
        raise CheckpointError(f"Cannot unpack {path}: the archive is damaged or cut short ({error}).") from error
    if info is None:
        listed = ", ".join(printable(name, limit=80) for name in names[:8]) + (", ..." if len(names) > 8 else "")
        raise CheckpointError(
            f"{path} holds {len(names)} checkpoints ({listed}). Unpack it, and give one of them as the model."
        )
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CheckpointError(f"{path} is encrypted, or packed by an unusual method. Unpack it first.")
    return info.filename


def _unpack(found: FileType, member: str, target: Path) -> None:
    packed = found.path.stat().st_size
    limit = packed * MAX_RATIO + ALWAYS_ALLOWED
    made = 0
    try:
        with target.open("wb") as file:
            for chunk in _chunks(found, member):
                made += len(chunk)
                if made > limit:
                    raise CheckpointError(
                        f"{found.path} has {size_of(packed)} and unpacks to more than {size_of(limit)}, which no "
                        "checkpoint does; it was not read. If you trust it, unpack it, and give the model file in it."
                    )
                file.write(chunk)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CheckpointError(f"Cannot unpack {found.path}: it is damaged or cut short ({error}).") from error
    if made == 0:
        raise CheckpointError(f"Cannot unpack {found.path}: it holds nothing.")


def _chunks(found: FileType, member: str) -> Iterator[bytes]:
    if found.kind == "xz":
        yield from _xz_chunks(found.path)
    elif found.kind == "zip of a checkpoint":
        with zipfile.ZipFile(found.path) as archive, archive.open(member) as file:
            yield from iter(lambda: file.read(CHUNK), b"")
    else:
        with (gzip.open if found.kind == "gzip" else bz2.open)(found.path) as stream:
            yield from iter(lambda: stream.read(CHUNK), b"")


def _xz_chunks(path: Path) -> Iterator[bytes]:
    """By hand, since Python's file object takes no limit for the memory of the dictionary."""
    decompressor = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
    with path.open("rb") as file:
        while not decompressor.eof:
            piece = file.read(CHUNK) if decompressor.needs_input else b""
            chunk = decompressor.decompress(piece, max_length=CHUNK)
            if not chunk and not piece and decompressor.needs_input:
                raise EOFError("it ends too early")
            if chunk:
                yield chunk
