"""Two more pieces of text that picture commands take: a shape for one of several images, and a part that is moved.

As in :mod:`sgkit.config.shapes`: only syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from sgkit.config.shapes import check_distance, check_layers
from sgkit.errors import UsageError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class PlacedShape:
    """Where one of several images shows."""

    shape: str
    number: int | None = None
    """Which image, counted from 1; ``None``: the next one."""
    layers: str | None = None
    """At which layers; ``None``: those of all."""


def parse_placed(text: str) -> PlacedShape:
    """The shape that ``box:0.2,0.3,0.8,0.6``, ``3=mask.png`` or ``2=ellipse:0,0,1,1@coarse`` means.

    Raises:
        UsageError: the text is not of this form, or the shape is not one.
    """
    match = re.fullmatch(r"\s*(?:(\d{1,3})\s*=)?(.*?)(?:@([^@/\\.]+))?\s*", text, re.DOTALL)
    assert match is not None, "all of it may be missing"
    number = None if match[1] is None else int(match[1])
    if number is not None and number < 2:
        raise UsageError(
            f"The shape {text!r} is for image {number}. Images are counted from 1, and the first one is under the "
            "others, so it needs no shape: use numbers from 2."
        )
    shape, layers = match[2].strip(), match[3]
    check_distance(shape)
    return PlacedShape(shape=shape, number=number, layers=None if layers is None else check_layers(layers))


Action = Literal["copy", "move", "swap", "mirror"]


@dataclass(frozen=True, kw_only=True)
class Move:
    """A part of the picture, and what becomes of it."""

    action: Action
    shape: str
    right: float = 0.0
    """How far to the right, in widths of the picture."""
    down: float = 0.0
    """How far down, in heights."""
    mirror: Literal["none", "x", "y", "both"] = "none"


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_TARGET = re.compile(rf"(.+?)\s+(to|by)\s+({_NUMBER})\s*,\s*({_NUMBER})(?:\s+mirror\s+(\w+))?\s*", re.DOTALL)
_MIRROR = re.compile(r"(.+?)(?:\s+(x|y|both))?\s*", re.DOTALL)
EXAMPLES: dict[Action, str] = {
    "copy": "box:0.1,0.2,0.4,0.6 by 0.5,0",
    "move": "ellipse:0.1,0.2,0.4,0.6 to 0.5,0.2",
    "swap": "box:0,0.5,0.3,1 to 0.7,0.5",
    "mirror": "box:0,0,1,1 x",
}


def parse_move(action: Action, text: str) -> Move:
    """The move that ``SHAPE by X,Y``, ``SHAPE to X,Y`` or, to mirror, ``SHAPE x`` means.

    ``by``: how far right and down, in widths and heights of the picture; ``to``: where its left and top edges go.

    Raises:
        UsageError: the text is not of this form; or the part would not change, or leave the picture.
    """
    if action not in get_args(Action):
        raise UsageError(f"Unknown action {action!r}. {did_you_mean(action, get_args(Action))}")
    if action == "mirror":
        match = _MIRROR.fullmatch(text.strip())
        check_distance(match[1] if match else text)
        assert match is not None, "a shape was found in it"
        return Move(action=action, shape=match[1], mirror=match[2] or "x")  # type: ignore[arg-type]
    match = _TARGET.fullmatch(text.strip())
    if match is None or (match[5] or "none") not in ("none", "x", "y", "both"):
        raise UsageError(
            f"Not a part to {action}: {text!r}. Give a shape, then 'by X,Y' (how far right and down) or 'to X,Y' "
            f"(where its left and top edges go), in fractions of the picture: {EXAMPLES[action]!r}."
        )
    shape = check_distance(match[1])
    right, down = float(match[3]), float(match[4])
    if match[2] == "to":
        if shape.bounds is None:
            raise UsageError(f"{match[1]!r} has no left and top edge, so it cannot be moved to a place. Use 'by X,Y'.")
        right, down = right - shape.bounds[0], down - shape.bounds[1]
    if right == 0 and down == 0 and match[5] is None:
        raise UsageError(f"{text!r} moves the part by nothing. Give another place.")
    if max(abs(right), abs(down)) >= 1:
        raise UsageError(
            f"{text!r} moves the part by {right:g} widths and {down:g} heights, out of the picture; both must be "
            "between -1 and 1."
        )
    return Move(action=action, shape=match[1], right=right, down=down, mirror=match[5] or "none")  # type: ignore[arg-type]
