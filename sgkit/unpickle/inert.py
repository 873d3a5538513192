"""What a foreign file becomes while it is read: objects that do nothing, and the budget they count against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sgkit.errors import CheckpointError

__all__ = ["MAX_OPERATIONS", "Allowed", "Budget", "Buildable", "Refused", "shown"]

MAX_OPERATIONS = 4_000_000
"""Pickled items in one file, all of its nested streams together."""


def shown(value: object, *, limit: int = 80) -> str:
    """A value from a file, safe to print: escaped, quoted, cut to ``limit`` characters, whatever it contains."""
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_part(item) for item in value[:limit])
        text = f"[{inner}]" if isinstance(value, list) else f"({inner})"
    else:
        text = value if isinstance(value, str) else _part(value)
    plain = ascii(text[: limit + 1])
    return plain if len(plain) <= limit + 2 else plain[:limit] + "...'"


def _part(item: object) -> str:
    """Numbers and text as they are; of all else the type: a few bytes can nest more text than any memory holds."""
    return repr(item) if item is None or isinstance(item, (bool, int, float, str)) else type(item).__name__


@dataclass
class Budget:
    """What one file may spend, all of its nested streams together."""

    operations: int = MAX_OPERATIONS
    copied_bytes: int = 1 << 26
    """Bytes that builders may copy; weights are not copied while reading."""
    refused: dict[str, None] = field(default_factory=dict)
    """What the file tried to reach, in order and without repetition."""

    def refuse(self, what: str) -> Refused:
        """Remember one thing that the file must not have; the object that stands for it."""
        if len(self.refused) < 16:
            self.refused[what] = None
        return Refused()

    def copy(self, num_bytes: int) -> None:
        """Count bytes that a builder is about to copy.

        Raises:
            CheckpointError: the file has spent its allowance.
        """
        self.copied_bytes -= num_bytes
        if self.copied_bytes < 0:
            raise CheckpointError("it unfolds to far more text than its size can justify.")


class Refused:
    """Stands for an object that the allow-list does not hold; takes anything, does nothing."""


class Buildable:
    """An object whose content arrives after it was made (opcode BUILD)."""

    def build(self, state: Any) -> None:
        """Take the state.

        Raises:
            CheckpointError: the state does not fit.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Allowed:
    """A global that files may name: ``make`` is what calling it does here, ``None`` when it is only mentioned."""

    name: str
    make: Callable[..., Any] | None = None
