"""Options of the commands that move latents along directions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from sgkit.cli.drawing import LatentOption, Sources, parse_sources
from sgkit.cli.given import Given
from sgkit.cli.shapes import parse_layer_names
from sgkit.errors import UsageError


class MoveText(str):
    """A move as it was typed, whose file and strength were checked."""

    __slots__ = ()


class Factors(tuple[float, ...]):
    """Truncation: one number, or one for each w of w+."""

    __slots__ = ()


def parse_move_text(text: str) -> MoveText:
    """``FILE[:NAME]=STRENGTH``, with a file that holds such a direction."""
    from sgkit.latents.move_text import parse_move

    parse_move(text)
    return MoveText(text)


def parse_channel_text(text: str) -> MoveText:
    """``LAYER:CHANNEL=VALUE``."""
    from sgkit.latents.move_text import parse_channel

    parse_channel(text)
    return MoveText(text)


def parse_s_psi(text: str | Factors) -> Factors:
    """Truncation in s from ``0.7``, or one for each layer of w+ from ``1,1,0.7``.

    Raises:
        typer.BadParameter: the text is not such a list.
    """
    from sgkit.cli.options import parse_psi

    if isinstance(text, Factors):
        return text
    try:
        return Factors(parse_psi(text))
    except typer.BadParameter:
        raise typer.BadParameter(
            f"Not a truncation in s: {text!r}. Use one number (0.7), or one for each layer of w+ (1,1,0.7,0.5)."
        ) from None


MoveOption = Annotated[
    list[MoveText] | None,
    typer.Option(
        "--move",
        parser=parse_move_text,
        metavar="FILE[:NAME]=STRENGTH",
        help="Move along a direction of a file, for example night.safetensors=1 or sefa.safetensors:3=-2. Can be "
        "repeated: all moves are made at once.",
    ),
]
ChannelOption = Annotated[
    list[MoveText] | None,
    typer.Option(
        "--channel",
        parser=parse_channel_text,
        metavar="LAYER:CHANNEL=VALUE",
        help="Add a value to one channel of a layer's style, for example b16_conv1:42=5. Can be repeated.",
    ),
]
LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        parser=parse_layer_names,
        metavar="LAYERS",
        help="Layers of w+: coarse, middle, fine, numbers (0-3,6), 'to 32px' or 'from 64px'.",
        show_default=False,
    ),
]
SPsiOption = Annotated[
    Factors,
    typer.Option(
        "--s-psi",
        parser=parse_s_psi,
        metavar="PSI",
        help="Truncation in s, after the moves, for latents of every space: 1 keeps the styles, 0 gives the average.",
    ),
]
AnyModelOption = Annotated[
    bool, typer.Option("--any-model", help="Also accept directions of a model other than this one.")
]
PLAIN = Factors((1.0,))


@dataclass(frozen=True, kw_only=True)
class MoveOptions:
    """Which latents are moved, and how."""

    seeds: Annotated[
        Sources | None,
        typer.Option(
            "--seeds", parser=parse_sources, metavar="LIST", help="Seeds and latent files, for example 0-3,face.npz."
        ),
    ] = None
    latent: LatentOption = None
    move: MoveOption = None
    channel: ChannelOption = None
    layers: LayersOption = None
    s_psi: SPsiOption = PLAIN

    def moves(self, given: Given) -> list[str]:
        """The moves along directions, then those of channels.

        Raises:
            UsageError: there are none, and nothing is truncated in s; or ``--layers`` has no effect.
        """
        found = [*(self.move or ()), *(self.channel or ())]
        if not found and self.s_psi == PLAIN:
            raise UsageError(
                "Nothing to do: give a direction (--move FILE:NAME=STRENGTH), a channel (--channel "
                "LAYER:CHANNEL=VALUE) or --s-psi. Find directions with: sgkit directions find MODEL --out "
                "FILE.safetensors"
            )
        given.refuse("layers", when=not self.move, because="it says which layers of w+ a --move changes")
        return [str(one) for one in found]

    def sources(self) -> list[int | Path]:
        """Seeds, then latent files.

        Raises:
            UsageError: there are none.
        """
        found = [*(self.seeds or ()), *chain.from_iterable(self.latent or ())]
        if not found:
            raise UsageError(
                "No image to edit: give seeds or latent files, for example --seeds 0-3 or --latent photo.npz."
            )
        return found
