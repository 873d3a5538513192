"""Shapes over the picture as text, and layers of a walk as text: the two grammars that every picture command shares.

Only syntax: no file is opened, no layer looked up, and nothing heavy is loaded, so that a command can refuse a slip
at once. Positions and widths are fractions of the picture: 0 is its left or top edge, 1 the right or bottom edge.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from sgkit.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class _Kind:
    example: str
    counts: tuple[int, ...]
    """How many numbers it may have."""
    has_axis: bool = False


_POLYGON = tuple(range(6, 1000))
SHAPES = {
    "box": _Kind("box:0.2,0.3,0.8,0.6 (left, top, right, bottom)", (4, 5)),
    "ramp": _Kind("ramp:x,0.2,0.8 (from 0 at 0.2 to 1 at 0.8)", (0, 1, 2), has_axis=True),
    "all": _Kind("all:0.5", (1,)),
    "ellipse": _Kind("ellipse:0.2,0.3,0.8,0.6 (left, top, right, bottom)", (4, 5)),
    "radial": _Kind(
        "radial:0.5,0.5,0.2,0.6 (centre x and y, radius where it begins to fall, radius where it is 0)", (4,)
    ),
    "polygon": _Kind("polygon:0.5,0.1,0.9,0.8,0.1,0.8 (x and y of 3 or more corners)", _POLYGON),
    "soat": _Kind("soat:x", (0,), has_axis=True),
    "soat-box": _Kind("soat-box:0.2,0.3,0.8,0.6 (left, top, right, bottom)", (4,)),
}
"""Shapes by their first word; a fifth number of a box or ellipse, and an odd last one of a polygon, is its softness."""
PICTURE = "mask"
"""First word of a shape that an image file draws; it may be left out before a file name with one of these endings."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
INVERSE = "not"
"""First word of what a shape leaves free."""
FURTHEST = 2.0
"""How far edges may be from the picture, in widths of it; further ones are taken for pixels."""


@dataclass(frozen=True, kw_only=True)
class ShapeText:
    """A shape, taken apart."""

    kind: str
    """A key of :data:`SHAPES`, or :data:`PICTURE`."""
    numbers: tuple[float, ...] = ()
    axis: Literal["x", "y"] = "x"
    file: str = ""
    """Of a picture."""
    softness: float = 0.0
    """Width of the soft edge."""
    is_inverse: bool = False
    bounds: tuple[float, float, float, float] | None = field(default=None, compare=False)
    """Left, top, right, bottom of what has an outline."""


def parse_shape(text: str) -> ShapeText:
    """The shape that ``box:0.2,0.3,0.8,0.6``, ``ramp:x``, ``polygon:...``, ``mask.png`` or ``not:box:...`` means.

    Raises:
        UsageError: the text is not a shape, or the shape is empty or outside the picture.
    """
    kind, colon, rest = text.strip().partition(":")
    if kind == INVERSE and colon:
        inner = parse_shape(rest)
        return ShapeText(**{**vars(inner), "is_inverse": not inner.is_inverse})
    picture = re.fullmatch(r"(.+?)(?:,\s*(\d*\.?\d+))?\s*", rest if kind == PICTURE and colon else text, re.DOTALL)
    if picture and ((kind == PICTURE and colon) or picture[1].lower().endswith(PICTURE_SUFFIXES)):
        return ShapeText(kind=PICTURE, file=picture[1].strip(), softness=float(picture[2] or 0))
    if kind not in SHAPES:
        names = [*SHAPES, PICTURE, INVERSE]
        raise UsageError(
            f"Unknown shape {text!r}. {did_you_mean(kind, names)} Or give an image file, such as mask.png, which is "
            "white where the shape is."
        )
    return _checked(text, kind, rest)


def _checked(text: str, kind: str, rest: str) -> ShapeText:
    row, words = SHAPES[kind], [word.strip() for word in rest.split(",")]
    axis = words.pop(0) if row.has_axis else "x"
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:
        numbers = (math.nan,)
    fits = len(numbers) in row.counts and (axis == "x" or axis == "y") and all(map(math.isfinite, numbers))
    if not fits:
        raise UsageError(f"Not a shape: {text!r}. Write it like {row.example}, in fractions of the picture.")
    softness = _softness(kind, numbers)
    bounds = _bounds(kind, numbers)
    if softness < 0:
        raise UsageError(f"The softness of {text!r} is {softness:g}; it must be 0 or more.")
    if bounds is not None:
        _check_bounds(text, kind, bounds)
    if kind == "all" and not 0 <= numbers[0] <= 1:
        raise UsageError(f"The weight of {text!r} is {numbers[0]:g}; it must be between 0 and 1.")
    if kind == "ramp" and len(numbers) == 2 and numbers[1] < numbers[0]:
        raise UsageError(f"The ramp {text!r} runs backwards: its start is after its end. Use not:ramp:... for that.")
    if kind == "radial" and not 0 <= numbers[2] <= numbers[3]:
        raise UsageError(f"The radii of {text!r} must be 0 or more, the first one not larger than the second.")
    return ShapeText(kind=kind, numbers=numbers, axis="y" if axis == "y" else "x", softness=softness, bounds=bounds)


def _softness(kind: str, numbers: tuple[float, ...]) -> float:
    has = (kind in ("box", "ellipse") and len(numbers) == 5) or (kind == "polygon" and len(numbers) % 2 == 1)
    return numbers[-1] if has else 0.0


def _bounds(kind: str, numbers: tuple[float, ...]) -> tuple[float, float, float, float] | None:
    if kind in ("box", "ellipse", "soat-box"):
        left, top, right, bottom = numbers[:4]
        return left, top, right, bottom
    if kind == "polygon":
        even = len(numbers) - len(numbers) % 2
        xs, ys = numbers[:even:2], numbers[1:even:2]
        return min(xs), min(ys), max(xs), max(ys)
    if kind == "radial":
        x, y, _, radius = numbers
        return x - radius, y - radius, x + radius, y + radius
    return None


def _check_bounds(text: str, kind: str, bounds: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = bounds
    if right <= left or bottom <= top:
        raise UsageError(f"The shape {text!r} is empty. Write it like {SHAPES[kind].example}.")
    if right <= 0 or bottom <= 0 or left >= 1 or top >= 1:
        raise UsageError(
            f"The shape {text!r} is outside the picture: it covers {left:g} to {right:g} of the width and {top:g} to "
            f"{bottom:g} of the height, and the picture is from 0 to 1. Divide pixels by the "
            "picture's width and height."
        )


def check_distance(text: str) -> ShapeText:
    """The shape, if no edge is so far outside the picture that pixels must be meant.

    Raises:
        UsageError: one is; or as :func:`parse_shape`.
    """
    shape = parse_shape(text)
    if shape.bounds is not None and max(map(abs, shape.bounds)) > FURTHEST:
        raise UsageError(
            f"The shape {text!r} reaches far outside the picture. Positions are fractions from 0 to 1: divide pixels "
            "by the picture's width and height."
        )
    return shape


# ------------------------------------------------------------------------------------------------- layers

LAYER_GROUPS: dict[str, tuple[int, int | None]] = {
    "all": (0, None),
    "coarse": (0, 4),
    "middle": (4, 8),
    "fine": (8, None),
    "pose": (0, 4),
}
"""Name -> styles of w+, from and up to. StyleGAN's figure 3: those of 4 and 8, 16 and 32, and 64 pixels and more."""
NUMBERS = r"\d{1,4}(\s*-\s*\d{1,4})?(\s*,\s*\d{1,4}(\s*-\s*\d{1,4})?)*"
PIXELS = r"(to|from|at)\s*(\d{1,6})\s*px"
NAMES = r"(b\d+_\w+|l\d+|input)(\s*,\s*(b\d+_\w+|l\d+|input))*"
"""Layers by their own names, as ``sgkit info`` lists them."""


def check_layers(text: str) -> str:
    """``text``, if it may name layers of some model.

    Raises:
        UsageError: it cannot.
    """
    word = text.strip().lower()
    if word in LAYER_GROUPS or re.fullmatch(f"({NUMBERS})|({PIXELS})|({NAMES})", word):
        return word
    raise UsageError(
        f"Unknown layers {text!r}. {did_you_mean(word, LAYER_GROUPS)} Numbers of w (0-3,5), 'to 32px', 'from 64px', "
        "'at 16px' and names of layers (b16_conv1) are allowed, too."
    )
