"""Lists of whole numbers as users write them: ``0,3,7-12``."""

from __future__ import annotations

import re

from sgkit.errors import UsageError

MAX_NUMBERS = 1_000_000
"""How many numbers one list may stand for, so that a slip such as ``0-4000000000`` does not fill the memory."""


def is_list(text: str) -> bool:
    """Whether ``text`` looks like such a list."""
    return re.fullmatch(r"[\d\s,-]*\d[\d\s,-]*", text) is not None


def parse_ranges(text: str, what: str, example: str, *, other: str = "") -> list[int]:
    """The numbers of a list, in its order; ranges include both ends.

    Args:
        text: the list.
        what: what the numbers are, for messages.
        example: a list that is right.
        other: what else is allowed.

    Raises:
        UsageError: the text is not such a list.
    """
    numbers: list[int] = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})\s*(?:-\s*(\d{1,10})\s*)?", word)
        if not match:
            raise UsageError(f"Not a list of {what}: {text!r}. Use numbers and ranges, for example {example}{other}.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"The range {word.strip()!r} is reversed. Write it {last}-{first}.")
        if len(numbers) + last - first >= MAX_NUMBERS:
            raise UsageError(f"{text!r} is more than {MAX_NUMBERS:,} {what}. Use fewer at a time.")
        numbers.extend(range(first, last + 1))
    return numbers
