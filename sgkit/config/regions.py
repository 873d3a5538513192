"""Regions of a picture as users name them: a shape, or parts of a face such as ``eyes`` or ``eyes,mouth``.

Only syntax, like :mod:`sgkit.config.shapes`: where a part is in a picture is found when the picture is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sgkit.config.shapes import PICTURE_SUFFIXES, check_distance
from sgkit.errors import InputError, UsageError, did_you_mean
from sgkit.runtime.limits import parse_json, read_file

FACE_PARTS = ("eyes", "brows", "nose", "mouth", "face", "hair")
"""Parts that are found by landmarks."""
PART = "part"
"""First word of a region that is made of parts; it may be left out."""
_WORDS = re.compile(r"[A-Za-z][\w -]*(\s*,\s*[A-Za-z][\w -]*)*")


@dataclass(frozen=True)
class Region:
    """A shape, or parts."""

    text: str
    """As it was given."""
    shape: str | None = None
    parts: tuple[str, ...] = ()


def parse_region(text: str, known: tuple[str, ...] = FACE_PARTS) -> Region:
    """The region that ``eyes``, ``part:eyes,mouth``, ``box:0.2,0.3,0.8,0.6`` or ``mask.png`` means.

    Args:
        text: what was given.
        known: the names of parts.

    Raises:
        UsageError: it is neither a shape nor made of known parts.
    """
    word, colon, rest = text.strip().partition(":")
    if colon and word != PART:
        check_distance(text)
        return Region(text, shape=text.strip())
    names = rest if colon else text
    if not colon and (names.strip().lower().endswith(PICTURE_SUFFIXES) or not _WORDS.fullmatch(names.strip())):
        check_distance(text)
        return Region(text, shape=text.strip())
    parts = tuple(dict.fromkeys(part.strip().lower() for part in names.split(",")))
    for part in parts:
        if part not in known:
            raise UsageError(
                f"Unknown part or shape {part!r}. {did_you_mean(part, known)} A shape is written like "
                "box:0.2,0.3,0.8,0.6, or is an image file such as mask.png."
            )
    return Region(text, parts=parts)


def read_part_table(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The numbers of each part in a segmentation, from JSON such as ``{"eyes": [4, 5], "hair": 17}``.

    Raises:
        InputError: the file is not there, or is not such a table.
    """
    values = parse_json(read_file(Path(path), kind="annotation"), name=str(path))
    parts: dict[str, tuple[int, ...]] = {}
    for part, numbers in values.items() if isinstance(values, dict) else ():
        given = numbers if isinstance(numbers, list) else [numbers]
        if not given or not all(isinstance(one, int) and 0 <= one < 1 << 16 for one in given):
            raise InputError(
                f"{path}: the part {part!r} is {numbers!r}; it must be a number from 0 to 65535, or a list of such "
                'numbers, for example {"eyes": [4, 5]}.'
            )
        parts[part.strip().lower()] = tuple(given)
    if not parts:
        raise InputError(f'{path} is not a table of parts. Write JSON such as {{"eyes": [4, 5], "hair": 17}}.')
    return parts
