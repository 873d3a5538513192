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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sgkit.errors import CheckpointError
from sgkit.runtime.detect import FileType, detect
from sgkit.runtime.file_kinds import MODELS, PACKED
from sgkit.runtime.limits import size_of
from sgkit.text import printable

MAX_RATIO = 32
"""How many times larger than packed a checkpoint may be."""
SPARE = 1 << 24
"""Bytes that are allowed in any case."""
CHUNK = 1 << 20
XZ_MEMORY = 1 << 28
CHECKPOINT_SUFFIXES = (".pkl", ".pt", ".pth", ".ckpt", ".model", ".safetensors")
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
"""What damaged archives raise in Python's readers."""


@contextmanager
def unpacked(found: FileType) -> Iterator[Path]:
    """The file itself, or the checkpoint inside of it, which is gone when the block ends.

    Raises:
        CheckpointError: it is damaged, unpacks to far too much, or holds no checkpoint or several.
    """
    if found.kind not in PACKED:
        yield found.path
        return
    with tempfile.TemporaryDirectory(prefix="sgkit-", ignore_cleanup_errors=True) as folder:
        name, source = _source(found)
        inner = Path(folder) / (name or "checkpoint")
        _copy(source, inner, found)
        held = detect(inner)
        if held.kind not in MODELS:
            raise CheckpointError(
                f"Not a model: {found.path} is {found.phrase} with {held.phrase} in it. "
                f"{held.advice.replace(str(inner), inner.name) or 'Unpack it, and give the model file in it.'}"
            )
        yield inner


def _source(found: FileType) -> tuple[str, Callable[[], Iterator[bytes]]]:
    """(name of what is inside, reads it in chunks)."""
    path = found.path
    if found.kind == "zip of a checkpoint":
        member = _member(path)
        return Path(member).name, lambda: _zip_chunks(path, member)
    name = path.stem if path.suffix.lower() in (".gz", ".gzip", ".bz2", ".xz") else path.name
    return name, {"gzip": lambda: _gzip_chunks(path), "bzip2": lambda: _bzip2_chunks(path)}.get(
        found.kind, lambda: _xz_chunks(path)
    )


def _member(path: Path) -> str:
    """The one checkpoint of an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(CHECKPOINT_SUFFIXES) and "__MACOSX" not in n]
    except DAMAGE as error:
        raise CheckpointError(f"Cannot unpack {path}: the archive is damaged or cut short ({error}).") from error
    if len(names) != 1:
        listed = ", ".join(printable(name, limit=80) for name in names[:8]) + (", ..." if len(names) > 8 else "")
        raise CheckpointError(
            f"{path} holds {len(names)} checkpoints ({listed}). Unpack it, and give one of them as the model."
        )
    return names[0]


def _zip_chunks(path: Path, name: str) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError(f"{path} is encrypted, or packed by an unusual method. Unpack it first.")
        with archive.open(info) as member:
            while chunk := member.read(CHUNK):
                yield chunk


def _gzip_chunks(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _bzip2_chunks(path: Path) -> Iterator[bytes]:
    with bz2.open(path) as file:
        while chunk := file.read(CHUNK):
            yield chunk


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


def _copy(chunks: Callable[[], Iterator[bytes]], target: Path, found: FileType) -> None:
    packed = found.path.stat().st_size
    limit = packed * MAX_RATIO + SPARE
    made = 0
    try:
        with target.open("wb") as file:
            for chunk in chunks():
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
