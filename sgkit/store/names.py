"""Names of files: which of them are images, which belong to the operating system, and which mean the same file."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .apng .webp .tif .tiff .bmp .dib .gif .avif .heic .heif .hif .ppm .pgm .pbm"
_SUFFIXES += " .pnm .jp2 .j2k .jpx .tga .ico .psd .dds .pcx .sgi"
IMAGE_SUFFIXES = frozenset(_SUFFIXES.split())
"""Files with these extensions are images, whatever their content; of all others the content decides."""

RAW_SUFFIXES = frozenset([".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"])
"""Camera raw files: most are TIFF files whose first image is a thumbnail."""
SYSTEM_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory", ".nomedia", ".localized", "icon\r"}
    | {"__macosx", "@eadir", "$recycle.bin", "system volume information", ".picasa.ini", "lock.mdb"}
)
"""Files and folders that operating systems and photo programs leave, in lower case."""
PLAIN = re.compile(r"[\w-][\w. -]*(?:/[\w-][\w. -]*)*(?<! )", re.ASCII)
"""Paths that are written in their one form already."""
_SUFFIX = re.compile(r".+(\.\w+)(?:[?#].*)?", re.DOTALL)
MOST_PARTS = 8
"""Folders at the end of a path that are compared."""


def suffix_of(name: str) -> str:
    """The extension in lower case, with its dot: ``.jpg`` of ``a.JPG``, and of ``a.jpg?x=1`` from a web address."""
    base = name.rsplit("/", 1)[-1]
    if "." not in base[1:]:
        return ""
    match = _SUFFIX.fullmatch(base)
    return match[1].lower() if match else ""


def has_image_suffix(name: str) -> bool:
    """Whether a file's name ends as images' names do."""
    return suffix_of(name) in IMAGE_SUFFIXES


def is_image_name(name: str) -> bool:
    """Whether a file of this name is an image: a known extension, and neither hidden nor the system's."""
    return has_image_suffix(name) and not skip_reason(name)


def skip_reason(name: str) -> str:
    """Why a file of this name is never looked at: ``system file``, ``hidden`` or ``camera raw``; ``""`` otherwise."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    if any(part.lower() in SYSTEM_NAMES or part.startswith("._") for part in parts):
        return "system file"
    if any(part.startswith(".") for part in parts):
        return "hidden"
    return "camera raw" if suffix_of(name) in RAW_SUFFIXES else ""


# ------------------------------------------------------------------------------------------------ matching


def file_key(name: str) -> str:
    r"""The one form of the many ways to write a path: ``.\a\b.png`` and ``a/b.png`` are the same file.

    Backslashes become slashes; a drive, ``.`` and empty parts go; ``..`` is resolved; accents are composed.
    """
    if PLAIN.fullmatch(name):
        return name
    if not name.isascii():
        name = _decoded(name)
    parts: list[str] = []
    for part in re.sub(r"^(file://|[A-Za-z]:)", "", name.strip()).replace("\\", "/").split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/".join(parts)


def _decoded(name: str) -> str:
    """A name with bytes that are not UTF-8 as Windows-1252, which is how tables with such names are read."""
    if any("\udc80" <= character <= "\udcff" for character in name):
        name = os.fsencode(name).decode("cp1252", "replace")
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Matches:
    """Which entry of a table names which file."""

    found: dict[int, int]
    """File -> entry, by their numbers."""
    ambiguous: tuple[tuple[int, tuple[int, ...]], ...]
    """Entries that could name several files, and those files."""


def match_names(entries: Sequence[str], files: Sequence[str]) -> Matches:
    """Which of ``entries`` names which of ``files``.

    A file is looked for by its path; then by the end of the path (other folders around it, absolute paths); then by its
    name without folders; then by that without extension. From the second step on upper and lower case are the same, and
    an entry counts only where it can mean one file that no other entry names.
    """
    entry_keys, file_keys = [file_key(entry) for entry in entries], [file_key(file) for file in files]
    found: dict[int, int] = {}
    ambiguous: dict[int, tuple[int, ...]] = {}
    for step in (_by_path, _by_end, _by_name, _by_stem):
        used = set(found.values())
        left = [number for number in range(len(entries)) if number not in used]
        if not left or len(found) == len(files):
            break
        candidates = step([(number, key) for number, key in enumerate(file_keys) if number not in found])
        claims: dict[int, list[int]] = {}
        for number in left:
            meant = candidates(entry_keys[number])
            if len(meant) == 1:
                claims.setdefault(meant[0], []).append(number)
            elif meant:
                ambiguous[number] = tuple(meant)
        for file, claiming in claims.items():
            if len(claiming) == 1:
                found[file] = claiming[0]
            else:
                ambiguous |= dict.fromkeys(claiming, (file,))
    used = set(found.values())
    return Matches(found, tuple((number, meant) for number, meant in ambiguous.items() if number not in used))


def find_by_name(table: Mapping[str, T], name: str) -> T | None:
    """The entry of ``table``, whose keys are made by :func:`file_key`, for a file: by path, name, or name without
    extension.
    """
    key = file_key(name)
    base = key.rsplit("/", 1)[-1]
    return next((table[form] for form in (key, base, _stem(base)) if form in table), None)


Files = Iterable[tuple[int, str]]
Find = Callable[[str], Sequence[int]]


def _index(forms: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    index: dict[str, list[int]] = {}
    for form, number in forms:
        index.setdefault(form, []).append(number)
    return index


def _by_path(files: Files) -> Find:
    index = _index((key, number) for number, key in files)
    return lambda entry: index.get(entry, ())


def _by_end(files: Files) -> Find:
    """By the longest common end of two parts or more."""
    index = _index((end, number) for number, key in files for end in _ends(key))
    return lambda entry: next((index[end] for end in _ends(entry) if end in index), ())


def _ends(key: str) -> list[str]:
    parts = key.casefold().split("/")[-MOST_PARTS:]
    return ["/".join(parts[first:]) for first in range(len(parts) - 1)]


def _by_name(files: Files) -> Find:
    index = _index((_base(key), number) for number, key in files)
    return lambda entry: index.get(_base(entry), ())


def _base(key: str) -> str:
    return key.rsplit("/", 1)[-1].casefold()


def _by_stem(files: Files) -> Find:
    """Also by an entry that has no extension, but perhaps a dot."""
    index = _index((_stem(_base(key)), number) for number, key in files)
    return lambda entry: index.get(_base(entry), index.get(_stem(_base(entry)), []))


def _stem(base: str) -> str:
    return base.rsplit(".", 1)[0] or base
