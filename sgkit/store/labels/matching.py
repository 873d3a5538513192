"""Which entry of a table names which file."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
PLAIN = re.compile(r"[\w-][\w. -]*(?:/[\w-][\w. -]*)*(?<! )", re.ASCII)
"""Paths that are written in their one form already."""
MOST_PARTS = 8
"""Folders at the end of a path that are compared."""


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
    for forms_of_file, forms_of_entry in _STEPS:
        used = set(found.values())
        left = [number for number in range(len(entries)) if number not in used]
        if not left or len(found) == len(files):
            break
        index: dict[str, list[int]] = {}
        for number, key in enumerate(file_keys):
            if number not in found:
                for form in forms_of_file(key):
                    index.setdefault(form, []).append(number)
        claims: dict[int, list[int]] = {}
        for number in left:
            meant: list[int] = []
            for form in forms_of_entry(entry_keys[number]):
                if meant := index.get(form, []):
                    break
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
    return next((table[form] for form in known_forms(name) if form in table), None)


def known_forms(name: str) -> tuple[str, str, str]:
    """What a table may call a file: by path, name, or name without extension."""
    key = file_key(name)
    base = key.rsplit("/", 1)[-1]
    return key, base, _stem(base)


def _ends(key: str) -> list[str]:
    """The ends of a path that have two parts or more, the longest first."""
    parts = key.casefold().split("/")[-MOST_PARTS:]
    return ["/".join(parts[first:]) for first in range(len(parts) - 1)]


def _base(key: str) -> str:
    return key.rsplit("/", 1)[-1].casefold()


def _stem(base: str) -> str:
    return base.rsplit(".", 1)[0] or base


_Forms = Callable[[str], Sequence[str]]
_STEPS: tuple[tuple[_Forms, _Forms], ...] = (
    (lambda key: [key], lambda key: [key]),
    (_ends, _ends),
    (lambda key: [_base(key)], lambda key: [_base(key)]),
    (
        lambda key: [_stem(_base(key))],
        lambda key: [_base(key), _stem(_base(key))],
    ),
)
"""What a file, and an entry, may be known by in each step. The dot in an entry may not begin an extension."""
