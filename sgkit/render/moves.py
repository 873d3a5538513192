"""Edits of a subject's latent as records of a scene: along a direction of a file, or one channel of s."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from sgkit.render.records import Record, Text

_One = Annotated[float, Field(ge=-1e6, le=1e6)]
Strength = _One | Annotated[tuple[_One, ...], Field(min_length=2, max_length=64)]
"""One number; or several, which are passed at the times 0, 1, 2 ... of an animation."""


class _Move(Record):
    strength: Strength = 1.0
    at: float = 0.0
    """Time, for several strengths."""

    @property
    def moves(self) -> bool:
        """Whether it changes over time."""
        return isinstance(self.strength, tuple)

    @property
    def now(self) -> float:
        """The strength at the time ``at``; between two of several it changes evenly."""
        if not isinstance(self.strength, tuple):
            return self.strength
        place = min(max(self.at, 0.0), len(self.strength) - 1.0)
        before = min(int(place), len(self.strength) - 2)
        low, high = self.strength[before : before + 2]
        return low + (high - low) * (place - before)


class Along(_Move):
    """Along a direction of a file, by content; the path is where it was last seen (none: made in Python)."""

    direction: Text | None
    """The file."""
    name: Text
    """Which of its directions."""
    hash: Text | None = None
    layers: Text | None = None
    """Layers of w+ that are moved, as in a mask: ``coarse``, ``0-3``, ``from 32px``. ``None``: the direction's own."""


class Channel(_Move):
    """One channel of a layer's style; ``strength`` is added to it."""

    layer: Text
    """Name of the layer, as ``sgkit info`` lists it."""
    channel: Annotated[int, Field(ge=0, lt=1 << 20)]


def _kind_of_move(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, Record) else ()
    return next((key for key in ("direction", "channel") if key in keys), None)


Move = Annotated[
    Annotated[Along, Tag("direction")] | Annotated[Channel, Tag("channel")],
    Discriminator(
        _kind_of_move,
        custom_error_type="move",
        custom_error_message="an object with the key 'direction' or 'channel'",
    ),
]
