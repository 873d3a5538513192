"""Numbers in label files: exact where they are whole, finite, and known to fit into what a store holds."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from sgkit.errors import InputError

LARGEST = float(np.finfo(np.float32).max)
EXACT = 2**24
"""Whole numbers up to here are exact in 32-bit floats."""
MOST_DIGITS = 40
"""Longer whole numbers are too large for every purpose, and slow to read."""
MOST_CHARACTERS = 400
"""Longer texts are not numbers, unless they are whole."""


def parse_number(text: str, *, decimal_comma: bool) -> int | float | None:
    """An int where the text is a whole number, a float where it is another number (also one that is not finite)."""
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text) if len(text) <= MOST_DIGITS else 10**MOST_DIGITS * (-1 if text[0] == "-" else 1)
    if len(text) > MOST_CHARACTERS:  # the patterns below take time that grows with its square
        return None
    if decimal_comma and re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text):
        text = text.replace(",", ".")
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return float(text)
    return float(text) if re.fullmatch(r"[+-]?(nan|inf|infinity)", text, re.IGNORECASE) else None


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_rounded(value: Any) -> bool:
    """Whether a whole number changes as a 32-bit float."""
    return isinstance(value, int) and abs(value) > EXACT and int(np.float32(value)) != value


def require_finite(value: int | float, place: str) -> None:
    """Check that a number is finite, also in 32 bits."""
    try:
        finite = abs(float(value)) <= LARGEST
    except OverflowError:
        finite = False
    if not finite:
        raise InputError(
            f"{place[:1].upper()}{place[1:]} has the label {str(value)[:40]}; labels must be finite numbers below "
            "3.4e38. Correct it, or leave the value empty if the image has no label."
        )


def as_number(value: Any) -> Any:
    """True and false as 1 and 0, which is what they are among several columns and in vectors."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    truth = {"true": 1, "false": 0}.get(str(value).lower())
    return value if truth is None else truth
