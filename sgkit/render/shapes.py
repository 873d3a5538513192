"""Shapes in scenes: text such as ``box:0.2,0.3,0.8,0.6``, or an image file, named by content."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag
from torch import Tensor

from sgkit import edits
from sgkit.config.shapes import PICTURE, ShapeText, parse_shape
from sgkit.errors import EditError
from sgkit.model import Canvas
from sgkit.render.records import Record, Text

ASPECT_TOLERANCE = 0.05
"""How much a mask's proportions may differ from the picture's."""


class MaskPicture(Record):
    """A shape that an image file draws: white where it is, black where it is not, grey between.

    Of files with transparency, alpha counts instead.
    """

    picture: Text
    """Its path, where it was last seen."""
    hash: Text | None = None
    """SHA-256 of the file."""
    softness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Width of a blur, as a fraction of the shorter side."""
    inverse: bool = False
    """Black where the shape is."""
    values: Annotated[tuple[int, ...], Field(max_length=1024)] = ()
    """The file is a segmentation, whose pixels are numbers of parts: the shape is where these are."""


Shape = Annotated[
    Annotated[Text, Tag("text")] | Annotated[MaskPicture, Tag("picture")],
    Discriminator(
        lambda value: "text" if isinstance(value, str) else "picture",
        custom_error_type="shape",
        custom_error_message="a shape as text, such as 'box:0.2,0.3,0.8,0.6', or an object with the key 'picture'",
    ),
]
ReadMask = Callable[[MaskPicture], Tensor]
"""An image file that a scene names -> weights [h, w] from 0 to 1."""


def mask_of(shape: str | MaskPicture, read: ReadMask) -> edits.Mask:
    """The mask that ``shape`` means; what it gives for a canvas is kept for the next layers on it.

    Raises:
        UsageError: the text is not a shape.
        SceneError: the image file is not there, was changed, or is not a mask.
    """
    if isinstance(shape, MaskPicture):
        mask = _picture(shape, read)
    else:
        parsed = parse_shape(shape)
        if parsed.kind == PICTURE:
            return mask_of(picture_of(parsed), read)
        mask = _MASKS[parsed.kind](parsed)
        mask = edits.inverse(mask) if parsed.is_inverse else mask
    return functools.lru_cache(maxsize=4)(mask)


def picture_of(parsed: ShapeText) -> MaskPicture:
    """The record of an image file that a shape's text names."""
    return MaskPicture(picture=parsed.file, softness=parsed.softness, inverse=parsed.is_inverse)


def _picture(shape: MaskPicture, read: ReadMask) -> edits.Mask:
    weights = read(shape)
    drawn = edits.picture(weights, softness=shape.softness)
    height, width = weights.shape

    def mask(canvas: Canvas) -> Tensor:
        wide, high = canvas.x.frame_length, canvas.y.frame_length
        if abs(width * high / (height * wide) - 1) > ASPECT_TOLERANCE:
            shared = math.gcd(wide, high)
            raise EditError(
                f"The mask {shape.picture} is {width}x{height}, and the picture's proportions are "
                f"{wide // shared}:{high // shared}. Make the mask from an image of the model, or crop it."
            )
        return 1 - drawn(canvas) if shape.inverse else drawn(canvas)

    return mask


def _polygon(shape: ShapeText) -> edits.Mask:
    numbers = shape.numbers[: len(shape.numbers) - len(shape.numbers) % 2]
    return edits.polygon(list(zip(numbers[::2], numbers[1::2], strict=True)), softness=shape.softness)


_MASKS: dict[str, Callable[[ShapeText], Any]] = {
    "box": lambda shape: edits.box(*shape.numbers[:4], softness=shape.softness),
    "ellipse": lambda shape: edits.ellipse(*shape.numbers[:4], softness=shape.softness),
    "polygon": _polygon,
    "radial": lambda shape: edits.radial(*shape.numbers),
    "ramp": lambda shape: edits.ramp(*shape.numbers, axis=shape.axis, smooth=True),
    "soat": lambda shape: edits.quarters(shape.axis),
    "soat-box": lambda shape: edits.blurred_box(*shape.numbers),
    "all": lambda shape: edits.constant(*shape.numbers),
}
"""Shape -> its mask; the keys are those of :data:`sgkit.config.shapes.SHAPES`."""
