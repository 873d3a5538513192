"""What a file or folder is, by its first bytes or its entries: the one place that tells file types apart.

Names are not trusted: checkpoints are renamed, downloads are error pages, and images come without an extension. Nothing
is decoded, little is read (at most :data:`MOST_READ` bytes of a file), and no library is imported for it.
"""

from __future__ import annotations

import functools
import itertools
import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from sgkit.runtime.file_kinds import ADVICE, CHECKPOINT_SUFFIXES, IMAGE_SUFFIXES, IMAGES, PHRASES
from sgkit.text import printable, shell_word

START = 1024
"""Bytes from the start of a file that decide, except for the index of a zip archive."""
MOST_READ = 1 << 18
MOST_ENTRIES = 1000
"""Entries of a folder that are looked at."""
LEGACY_TORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."


class FileType(NamedTuple):
    """What is at a path."""

    path: Path
    kind: str
    """A key of :data:`sgkit.runtime.file_kinds.PHRASES`."""
    detail: str = ""
    """The first line of a text file, or the name of the file that matters in an archive; from the file, so unsafe."""

    @property
    def phrase(self) -> str:
        """What a message calls it: ``a JPEG image``, ``a text file that begins '404: Not Found'``."""
        beginning = f" that begins '{printable(self.detail, limit=60)}'" if self.kind == "text" and self.detail else ""
        return PHRASES[self.kind] + beginning

    @property
    def advice(self) -> str:
        """What can be done with it, in a sentence or two; empty where nothing is known."""
        return ADVICE.get(self.kind, "").replace("{path}", shell_word(self.path))

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of any kind."""
        return self.path.is_dir()


def detect(path: str | Path) -> FileType:
    """What is at ``path``; it raises nothing for what cannot be read, which is ``unknown``."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return FileType(path, "missing")
    with suppress(OSError):
        if stat.S_ISDIR(mode):
            return FileType(path, _folder(path))
        if not stat.S_ISREG(mode):
            return FileType(path, "special")
        with path.open("rb") as file:
            start = file.read(START)
            kind, detail = detect_bytes(start), ""
            if kind == "zip":
                kind, detail = _zip(file)
            elif kind == "text":
                detail = start.split(b"\n")[0][:200].decode("utf-8", "replace").strip()
            return FileType(path, kind, detail)
    return FileType(path, "unknown")


# ---------------------------------------------------------------------------------------------- first bytes

STARTS: tuple[tuple[bytes, str], ...] = (
    (LEGACY_TORCH, "torch legacy"),
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"GGUF", "gguf"),
    (b"PAR1", "parquet"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"8BPS", "psd"),
    (b"\0\0\1\0", "ico"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"%PDF", "pdf"),
    (b"\x7fELF", "executable"),
    (b"version https://git-lfs", "lfs pointer"),
    (b"/annex/objects/", "annex pointer"),
)
HEIF_BRANDS = {b"heic": "heic", b"heix": "heic", b"hevc": "heic", b"mif1": "heic", b"msf1": "heic"}
HEIF_BRANDS |= {b"avif": "avif", b"avis": "avif"}
MAX_SAFETENSORS_HEADER = 1 << 40
"""Anything above cannot be the length of a header."""


def detect_bytes(start: bytes) -> str:
    """The kind of a file that starts with ``start`` (512 bytes or more where it is that long); zips are ``zip``."""
    if not start:
        return "empty"
    for magic, kind in STARTS:
        if start.startswith(magic):
            return kind
    return next((kind for test, kind in TESTS if test(start)), None) or _ftyp(start) or _text(start)


def _is_safetensors(start: bytes) -> bool:
    return start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= MAX_SAFETENSORS_HEADER


def _is_pickle(start: bytes) -> bool:
    """Protocols 2 to 5; or the older ones, whose files begin with a global or the mark of a tuple or dict."""
    binary = start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5")
    return binary or start[:4] in (b"(dp0", b"(dp1", b"(lp0", b"(lp1") or start.startswith((b"ccopy_reg\n", b"(c"))


def _is_bmp(start: bytes) -> bool:
    return start[:2] == b"BM" and start[6:10] == b"\0\0\0\0"


def _is_onnx(start: bytes) -> bool:
    """A protocol buffer whose fields 1 and 2 are a small version and a producer's name."""
    return start[:1] == b"\x08" and 1 <= start[1] <= 32 and start[2:3] == b"\x12" and start[4:5].isalpha()


def _is_ours(start: bytes, kind: str) -> bool:
    """Whether a .safetensors begins with the metadata that sgkit gives to files of ``kind``, which are not models."""
    return _is_safetensors(start) and start[8:].startswith(b'{"__metadata__":{"sgkit.%s":' % kind.encode())


TESTS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    *(
        (functools.partial(_is_ours, kind=kind), kind)
        for kind in ("directions", "delta", "encoder", "classifier", "training-state")
    ),
    (_is_safetensors, "safetensors"),
    (_is_pickle, "pickle"),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", "webp"),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"AVI ", "video"),
    (_is_bmp, "bmp"),
    (lambda start: start[:1] == b"P" and start[1:2] in b"123456" and start[2:3] in b" \n\r\t", "pnm"),
    (lambda start: start[257:262] == b"ustar", "tar"),
    (lambda start: start[16:20] in (b"\xde\xc0\xef\xbe", b"\xbe\xef\xc0\xde"), "lmdb file"),
    (lambda start: len(start) > 4 and _is_onnx(start), "onnx"),
)


def _ftyp(start: bytes) -> str | None:
    """ISO media: HEIC and AVIF images, else films."""
    if start[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(start[:4], "big"), len(start))
    brands = [start[8:12], *(start[place : place + 4] for place in range(16, size - 3, 4))]
    return next((HEIF_BRANDS[brand] for brand in brands if brand in HEIF_BRANDS), "video")


def _text(start: bytes) -> str:
    """HTML, XML, JSON or other text; ``unknown`` for what is not text."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if start.startswith(mark):
            text = start[len(mark) :].decode(encoding, "ignore")
            break
    else:
        text = start.decode("utf-8", "replace")
        odd = sum(not (char.isprintable() or char in "\n\r\t\f") or char == "\ufffd" for char in text[:-3])
        if odd > len(text) / 16 or "\0" in text:
            return "unknown"
    head = text.lstrip().lower()
    if head.startswith(("<!doctype html", "<html", "<head", "<body", "<script")) or "<html" in head:
        return "html"
    if head.startswith("<"):
        return "xml"
    return "json" if head.startswith(("{", "[")) else "text"


# ---------------------------------------------------------------------------------------------- zip archives


def _zip(file: IO[bytes]) -> tuple[str, str]:
    """The kind of a zip archive by the names in its index, and the checkpoint or image that decides."""
    names = list(itertools.islice(_zip_names(file), MOST_ENTRIES))
    is_cut = not names
    names = names or _first_name(file)
    tops = {name.partition("/")[2] for name in names}
    if "data.pkl" in tops or "data.pkl" in names:
        return ("torchscript" if "constants.pkl" in tops else "torch zip"), ""
    if "archive_format" in tops:
        return "torch program", ""
    if names and all(name.endswith(".npy") for name in names):
        return "npz", ""
    if "model.weights.h5" in names:
        return "keras", ""
    real = [name for name in names if not name.startswith("__MACOSX/") and not name.endswith("/")]
    checkpoints = [name for name in real if name.lower().endswith(CHECKPOINT_SUFFIXES)]
    if checkpoints and not is_cut:
        return "zip of a checkpoint", checkpoints[0]
    images = [name for name in real if _is_image_name(name)]
    if is_cut and real:
        return "cut zip", ""
    return ("zip of images", images[0]) if images else ("zip", "")


def _first_name(file: IO[bytes]) -> list[str]:
    """The name of the first member of an archive whose index is missing; empty for an archive of nothing."""
    file.seek(0)
    start = file.read(START)
    if not start.startswith(b"PK\x03\x04") or len(start) < 30:
        return []
    return [start[30 : 30 + int.from_bytes(start[26:28], "little")].decode("utf-8", "replace")]


def _zip_names(file: IO[bytes]) -> Iterator[str]:
    """Names in the central directory of a zip archive, read by hand and within bounds; a damaged one gives fewer."""
    size = file.seek(0, os.SEEK_END)
    tail_start = max(0, size - (1 << 16) - 22)
    file.seek(tail_start)
    tail = file.read((1 << 16) + 22)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        return
    length = struct.unpack_from("<I", tail, end + 12)[0]
    newer = tail.rfind(b"PK\x06\x06", 0, end)
    if newer >= 0 and len(tail) >= newer + 56:  # a zip64 archive has its own end record before the common one
        length, end = struct.unpack_from("<Q", tail, newer + 40)[0], newer
    file.seek(max(0, tail_start + end - min(length, size)))
    index = file.read(MOST_READ)
    place = 0
    while index[place : place + 4] == b"PK\x01\x02" and place + 46 <= len(index):
        name, extra, comment = struct.unpack_from("<HHH", index, place + 28)
        yield index[place + 46 : place + 46 + name].decode("utf-8", "replace")
        place += 46 + name + extra + comment


# -------------------------------------------------------------------------------------------------- folders


def _folder(path: Path) -> str:
    """The kind of a folder by what is in it, and one level below."""
    names = _entries(path)
    if "header.json" in names:
        return "store"
    if "plan.json" in names:
        return "unfinished store"
    if "snapshots" in names or {"config.toml", "log.jsonl"} <= names:
        return "run"
    if "latent.npz" in names:
        return "projection"
    if "saved_model.pb" in names:
        return "saved model"
    if {"image.dzi", "image_files"} <= names:
        return "deep zoom"
    if "journal-00000.txt" in names:
        return "partial image"
    if "data.mdb" in names:
        return "lmdb"
    return _contents(path, names)


def _contents(path: Path, names: set[str]) -> str:
    if not names:
        return "empty folder"
    below = [_entries(path / name) for name in sorted(names)[:32]]
    if any(name.endswith(".safetensors") for name in names) or any("model.safetensors" in inner for inner in below):
        return "snapshots"
    if any("latent.npz" in inner for inner in below):
        return "projections"
    if any(name.lower().endswith(CHECKPOINT_SUFFIXES) for name in names):
        return "models"
    if _has_image(path, names):
        return "images"
    if any(_is_image_name(name) for inner in below for name in inner):
        return "images in subfolders"
    return "folder"


def _entries(path: Path) -> set[str]:
    """Names in a folder, the first thousand of them, hidden ones left out; none if the folder is missing."""
    with suppress(OSError), os.scandir(path) as entries:
        return {entry.name for entry in itertools.islice(entries, MOST_ENTRIES) if not entry.name.startswith(".")}
    return set()


def _has_image(path: Path, names: Iterable[str]) -> bool:
    """Whether a folder has files named as images, or a first few without a known name that are images."""
    names = sorted(names)
    return any(map(_is_image_name, names)) or any(_starts_as_image(path / name) for name in names[:8])


def _starts_as_image(path: Path) -> bool:
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return detect_bytes(file.read(START)) in IMAGES
    return False


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122
