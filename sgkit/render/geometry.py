"""Changes of the canvas as records of a scene. A new one is a class here and a name in :data:`EditRecord`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from sgkit import edits
from sgkit.errors import UsageError
from sgkit.model import Axis, Edit
from sgkit.render.records import Record, Text

Pixels = Annotated[int, Field(ge=0, le=1 << 16)]


class _Edit(Record):
    at: Text
    """Where: ``8px``, after the last layer of the first resolution with at least 8 pixels per picture side."""

    def where(self) -> edits.Selection:
        """The layers at which it acts.

        Raises:
            UsageError: ``at`` is not a resolution.
        """
        match = re.fullmatch(r"\s*(\d{1,6})\s*px\s*", self.at)
        if not match:
            raise UsageError(f"Not a place for an edit: {self.at!r}. Use a resolution such as 8px.")
        return edits.closing(int(match[1]))


class Pad(_Edit):
    """The picture made larger at its edges; lengths are pixels of the layer."""

    kind: Literal["pad"]
    left: Pixels = 0
    right: Pixels = 0
    top: Pixels = 0
    bottom: Pixels = 0
    mode: Literal["constant", "reflect", "replicate", "circular"] = "reflect"

    def edit(self) -> Edit:
        """The edit of a walk that this describes."""
        amounts = (self.left, self.right, self.top, self.bottom)
        return edits.pad(*amounts, where=self.where(), mode=self.mode)


class Crop(_Edit):
    """The picture made smaller at its edges."""

    kind: Literal["crop"]
    left: Pixels = 0
    right: Pixels = 0
    top: Pixels = 0
    bottom: Pixels = 0

    def edit(self) -> Edit:
        """The edit of a walk that this describes."""
        return edits.crop(self.left, self.right, self.top, self.bottom, where=self.where())


class Shift(_Edit):
    """The content moved right by ``x`` and down by ``y``."""

    kind: Literal["shift"]
    x: Annotated[int, Field(ge=-(1 << 16), le=1 << 16)] = 0
    y: Annotated[int, Field(ge=-(1 << 16), le=1 << 16)] = 0
    mode: Literal["constant", "reflect", "replicate", "circular"] = "circular"

    def edit(self) -> Edit:
        """The edit of a walk that this describes."""
        return edits.shift(self.x, self.y, where=self.where(), mode=self.mode)


class Tile(_Edit):
    """The picture repeated along an axis until it is ``length`` pixels long."""

    kind: Literal["tile"]
    length: Annotated[int, Field(ge=1, le=1 << 16)]
    axis: Axis = "x"

    def edit(self) -> Edit:
        """The edit of a walk that this describes."""
        return edits.tile(self.length, where=self.where(), axis=self.axis)


class Resize(_Edit):
    """The picture stretched."""

    kind: Literal["resize"]
    height_factor: Annotated[float, Field(gt=0, le=64)] = 1.0
    width_factor: Annotated[float, Field(gt=0, le=64)] = 1.0
    mode: Literal["nearest-exact", "bilinear", "bicubic"] = "nearest-exact"

    def edit(self) -> Edit:
        """The edit of a walk that this describes."""
        factors = (self.height_factor, self.width_factor)
        return edits.resize(*factors, where=self.where(), mode=self.mode)


EditRecord = Annotated[Pad | Crop | Shift | Tile | Resize, Field(discriminator="kind")]
