"""What the objects of a foreign file become while it is read: things that do nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sgkit.errors import CheckpointError

MAX_SHOWN = 100
"""Characters of one text in a message."""
MAX_KEY = 1 << 60
"""Whole numbers up to here are their own hashes."""


def shown(value: object, *, limit: int = 80) -> str:
    """A value from a file, safe to print: escaped, quoted, cut to ``limit`` characters."""
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_part(item) for item in value[:limit])
        text = f"[{inner}]" if isinstance(value, list) else f"({inner})"
    else:
        text = value if isinstance(value, str) else _part(value)
    plain = ascii(text[: limit + 1])
    return plain if len(plain) <= limit + 2 else plain[:limit] + "...'"


def _part(item: object) -> str:
    """Numbers and text as they are; of all else the type: a few bytes can nest more text than any memory holds."""
    if isinstance(item, str):
        return repr(item[:MAX_SHOWN])
    return repr(item) if item is None or isinstance(item, (bool, int, float)) else type(item).__name__


def table_key(key: Any) -> Any:
    """``key`` where a table or a set may have it: text and small whole numbers, and short byte strings as text.

    All others are refused, so that no crafted hash can make a table slow.
    """
    if key is None or isinstance(key, str) or (isinstance(key, int) and abs(key) < MAX_KEY):
        return key
    if isinstance(key, (bytes, memoryview)) and len(key) <= MAX_SHOWN:
        return str(key, "latin-1")
    raise CheckpointError(f"a table has a key of type {type(key).__name__}; checkpoints have text and whole numbers.")


class Refused:
    """Replaces an object that is not on the allow-list; takes anything, does nothing."""


class Buildable:
    """An object whose content arrives after it was made (opcode BUILD)."""

    def build(self, state: Any) -> None:
        """Take the state."""
        raise NotImplementedError


@dataclass(frozen=True)
class Allowed:
    """A global that files may name: ``make`` is what calling it does here, ``None`` when it is only mentioned."""

    name: str
    make: Callable[..., Any] | None = None
