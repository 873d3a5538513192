"""Moves as they are typed: ``night.safetensors=2``, ``sefa.safetensors:3=-1.5``, ``b16_conv1:42=5``. Needs no torch."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

from sgkit.errors import UsageError
from sgkit.latents.direction_header import read_direction_header

FORM = "Write FILE=STRENGTH or FILE:NAME=STRENGTH, for example sefa.safetensors:0=2."
CHANNEL_FORM = "Write LAYER:CHANNEL=VALUE, for example b16_conv1:42=5."


class FileMove(NamedTuple):
    """A direction of a file, and how far to go along it."""

    file: Path
    name: str
    strength: float


class ChannelMove(NamedTuple):
    """A channel of s, and what is added to it."""

    layer: str
    channel: int
    strength: float


def parse_move(text: str) -> FileMove:
    """The direction and strength that ``FILE[:NAME]=STRENGTH`` stands for; only the file's header is read.

    Raises:
        UsageError: the text is not of that form, the strength is not a number, or the file has no such direction.
        InputError: the file is missing, or it is not a direction file.
    """
    what, strength = _split(text, "a move", FORM)
    file, name = Path(what), None
    if not file.exists() and ":" in what:
        colons = [place for place, character in enumerate(what) if character == ":"]
        # Names of files and of directions may both hold colons: the longest file that is there.
        place = next((place for place in reversed(colons) if Path(what[:place]).exists()), colons[-1])
        file, name = Path(what[:place]), what[place + 1 :]
    header = read_direction_header(file)
    return FileMove(file, header.names[header.index(name, file=str(file))], strength)


def parse_channel(text: str) -> ChannelMove:
    """The channel and value that ``LAYER:CHANNEL=VALUE`` stands for.

    Raises:
        UsageError: the text is not of that form, or the value is not a number.
    """
    what, strength = _split(text, "a channel", CHANNEL_FORM)
    match = re.fullmatch(r"([\w.]{1,100}):(\d{1,6})", what)
    if not match:
        raise UsageError(f"Not a channel: {text!r}. {CHANNEL_FORM}")
    return ChannelMove(match[1], int(match[2]), strength)


def _split(text: str, kind: str, form: str) -> tuple[str, float]:
    what, equals, number = text.rpartition("=")
    if not equals or not what:
        raise UsageError(f"Not {kind}: {text!r}. {form}")
    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    if not abs(strength) <= 1e6:
        raise UsageError(
            f"The strength of {text!r} is not a number: {number!r}. Use a number such as 2 or -1.5. {form}"
        )
    return what, strength
