"""Options that name shapes and layers; what is wrong with them is said before torch is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable

import typer

from sgkit.config.placed import Action, parse_move, parse_placed
from sgkit.config.shapes import PICTURE, check_distance, check_layers


def parse_shape(text: str) -> str:
    """A shape such as ``box:0.2,0.3,0.8,0.6`` or ``mask.png``, checked.

    Raises:
        UsageError: it is not a shape, or is outside the picture.
        InputError: its image file is not there, or is not an image.
    """
    shape = check_distance(text)
    if shape.kind == PICTURE:
        from sgkit.runtime.path_checks import check_mask

        check_mask(shape.file)
    return text.strip()


def parse_layer_names(text: str) -> str:
    """Layers such as ``coarse``, ``0-3``, ``to 32px`` or ``b16_conv1``, checked as far as any model may have them.

    Raises:
        UsageError: no model has such layers.
    """
    return check_layers(text)


def parse_placed_shape(text: str) -> str:
    """A shape for one of several images, such as ``2=mask.png@coarse``, checked.

    Raises:
        UsageError: it is not one.
        InputError: its image file is not there, or is not an image.
    """
    parse_shape(parse_placed(text).shape)
    return text.strip()


def part_parser(action: Action) -> Callable[[str], str]:
    """The parser of an option that takes parts to move, such as ``box:0.1,0.2,0.4,0.6 by 0.5,0``."""

    def parse(text: str) -> str:
        parse_shape(parse_move(action, text).shape)
        return text.strip()

    parse.__name__ = "part"
    return parse


def parse_at(text: str) -> str:
    """A resolution such as ``8px``.

    Raises:
        typer.BadParameter: it is not one.
    """
    match = re.fullmatch(r"\s*(\d{1,6})\s*(?:px)?\s*", text)
    if not match or int(match[1]) < 1:
        raise typer.BadParameter(f"Not a resolution: {text!r}. Use pixels of a layer, for example 8px.")
    return f"{match[1]}px"
