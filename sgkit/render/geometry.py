"""Changes of the canvas as records of a scene. A new one is a class here and a name in :data:`EditRecord`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from sgkit import edits
from sgkit.errors import UsageError
from sgkit.model import Axis, Edit
from sgkit.render.records import Record, Text
from sgkit.render.shapes import MaskPicture, Shape

Pixels = Annotated[int, Field(ge=0, le=1 << 16)]
Fraction = Annotated[float, Field(ge=-4, le=4)]
"""Of the picture's width or height."""


@dataclass(frozen=True)
class EditContext:
    """What records need to become edits."""

    mask: Callable[[str | MaskPicture], edits.Mask]
    """The mask that a shape means."""
    branch: Callable[[str], int]
    """The branch of the walk that a subject is."""


class _Edit(Record):
    at: Text
    """Where: ``8px``, after the last layer of the first resolution with at least 8 pixels per picture side."""

    def where(self) -> edits.Selection:
        """The layers at which it acts.

        Raises:
            UsageError: ``at`` is not a resolution.
        """
        return edits.closing(resolution(self.at))


def resolution(at: str) -> int:
    """The pixels that ``8px`` means.

    Raises:
        UsageError: it is not a resolution.
    """
    match = re.fullmatch(r"\s*(\d{1,6})\s*px\s*", at)
    if not match:
        raise UsageError(f"Not a place for an edit: {at!r}. Use a resolution such as 8px.")
    return int(match[1])


class Pad(_Edit):
    """The picture made larger at its edges; lengths are pixels of the layer."""

    kind: Literal["pad"]
    left: Pixels = 0
    right: Pixels = 0
    top: Pixels = 0
    bottom: Pixels = 0
    mode: Literal["constant", "reflect", "replicate", "circular"] = "reflect"

    def edit(self, context: EditContext) -> Edit:
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

    def edit(self, context: EditContext) -> Edit:
        """The edit of a walk that this describes."""
        return edits.crop(self.left, self.right, self.top, self.bottom, where=self.where())


class Shift(_Edit):
    """The content moved right by ``x`` and down by ``y``."""

    kind: Literal["shift"]
    x: Annotated[int, Field(ge=-(1 << 16), le=1 << 16)] = 0
    y: Annotated[int, Field(ge=-(1 << 16), le=1 << 16)] = 0
    mode: Literal["constant", "reflect", "replicate", "circular"] = "circular"

    def edit(self, context: EditContext) -> Edit:
        """The edit of a walk that this describes."""
        return edits.shift(self.x, self.y, where=self.where(), mode=self.mode)


class Tile(_Edit):
    """The picture repeated along an axis until it is ``length`` pixels long."""

    kind: Literal["tile"]
    length: Annotated[int, Field(ge=1, le=1 << 16)]
    axis: Axis = "x"

    def edit(self, context: EditContext) -> Edit:
        """The edit of a walk that this describes."""
        return edits.tile(self.length, where=self.where(), axis=self.axis)


class Resize(_Edit):
    """The picture stretched."""

    kind: Literal["resize"]
    height_factor: Annotated[float, Field(gt=0, le=64)] = 1.0
    width_factor: Annotated[float, Field(gt=0, le=64)] = 1.0
    mode: Literal["nearest-exact", "bilinear", "bicubic"] = "nearest-exact"

    def edit(self, context: EditContext) -> Edit:
        """The edit of a walk that this describes."""
        factors = (self.height_factor, self.width_factor)
        return edits.resize(*factors, where=self.where(), mode=self.mode)


class Repeat(_Edit):
    """The picture made longer inside a box, whose content is repeated; beside the box it is stretched."""

    kind: Literal["repeat"]
    box: tuple[Fraction, Fraction, Fraction, Fraction]
    """Left, top, right, bottom, in fractions of the picture."""
    times: Annotated[int, Field(ge=1, le=1024)]
    axis: Axis = "x"
    """``x``: it becomes wider; ``y``: taller."""
    softness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Width of the blend between what is repeated and what is stretched."""
    mirror: bool = True
    """Every second copy is mirrored, so that neighbours fit."""

    def edit(self, context: EditContext) -> Edit:
        """The edit of a walk that this describes."""
        options = {"times": self.times, "axis": self.axis, "softness": self.softness, "mirror": self.mirror}
        return edits.repeat(*self.box, where=self.where(), **options)  # type: ignore[arg-type]


class Patch(Record):
    """What is under a shape, painted somewhere else."""

    shape: Shape
    right: Fraction = 0.0
    """How far to the right it is painted, in widths of the picture."""
    down: Fraction = 0.0
    """How far down, in heights of the picture."""
    mirror: Literal["none", "x", "y", "both"] = "none"
    """``x``: left and right exchanged."""
    source: Text | None = Field(default=None, validation_alias="from", serialization_alias="from")
    """The subject that it is taken from; ``None``: the picture itself."""
    fill: bool = False
    """Paint what is around the shape smoothly into it instead."""
    back: bool = False
    """Paint what is at the other place under the shape instead; with a patch that is not, the two are exchanged."""


class Paste(_Edit):
    """Parts of the picture, or of others, painted into it in order; all show what was there before the first one."""

    kind: Literal["paste"]
    patches: Annotated[tuple[Patch, ...], Field(min_length=1, max_length=256)]
    image: bool = True
    """Also move the image so far; otherwise only the features are moved."""

    def edit(self, context: EditContext) -> Edit:
        """The edit of a walk that this describes."""
        found = [
            edits.Patch(
                mask=context.mask(one.shape),
                right=one.right,
                down=one.down,
                mirror=one.mirror,
                branch=0 if one.source is None else context.branch(one.source),
                fill=one.fill,
                back=one.back,
            )
            for one in self.patches
        ]
        return edits.paste(found, where=self.where(), image=self.image)


def sources_of(records: Iterable[EditRecord]) -> list[str]:
    """The subjects that edits take parts from."""
    return [
        one.source
        for record in records
        if isinstance(record, Paste)
        for one in record.patches
        if one.source is not None
    ]


EditRecord = Annotated[Pad | Crop | Shift | Tile | Resize | Repeat | Paste, Field(discriminator="kind")]
