"""``sgkit expand``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import typer

from sgkit.cli import images, report
from sgkit.cli.drawing import BatchOption, GapOption, GridOption, PlainDrawOptions, open_drawing
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import ModelArgument, RunOptions
from sgkit.cli.shapes import parse_at, parse_shape


class Factor(tuple[float, float]):
    """How many times as wide and as high, written ``WIDTHxHEIGHT``."""

    __slots__ = ()


def parse_factor(text: str | Factor) -> Factor:
    """Factors of width and height from ``2x1``, ``1.5x1`` or ``2`` (both).

    Raises:
        typer.BadParameter: the text is not such a factor.
    """
    if isinstance(text, Factor):
        return text
    match = re.fullmatch(r"\s*(\d{1,4}(?:\.\d+)?)\s*(?:[xX\u00d7]\s*(\d{1,4}(?:\.\d+)?)\s*)?", text)
    factor = Factor((float(match[1]), float(match[2] or match[1]))) if match else Factor((0.0, 0.0))
    if not all(0 < one <= 64 for one in factor):
        raise typer.BadParameter(
            f"Not a factor: {text!r}. Use one for width and height (2), or WIDTHxHEIGHT (2x1), above 0 and at most 64."
        )
    return factor


def _side(name: str) -> Any:
    return typer.Option(
        f"--{name}", min=0, metavar="PIXELS", help=f"Add this many pixels at the {name}; a whole number of features."
    )


@flatten_options
def expand(
    context: typer.Context,
    model: ModelArgument,
    out: images.OutOption,
    seeds: images.SourcesOption,
    factor: Annotated[
        Factor | None,
        typer.Option(
            "--factor",
            parser=parse_factor,
            metavar="WIDTHxHEIGHT",
            help="Size of the result in sizes of the model's image; padding goes evenly to both sides.",
            show_default="2x1 without --left, --right, --top, --bottom",
        ),
    ] = None,
    left: Annotated[int, _side("left")] = 0,
    right: Annotated[int, _side("right")] = 0,
    top: Annotated[int, _side("top")] = 0,
    bottom: Annotated[int, _side("bottom")] = 0,
    mode: Annotated[
        Literal["reflect", "replicate", "circular", "constant", "tile", "resize"],
        typer.Option(
            "--mode",
            help="What new places get: the features reflected, their edge, their opposite end, zeros; copies of all "
            "(tile); or all stretched (resize).",
        ),
    ] = "reflect",
    resize_filter: Annotated[
        Literal["nearest-exact", "bilinear", "bicubic"], typer.Option("--filter", help="Filter of --mode resize.")
    ] = "nearest-exact",
    repeat: Annotated[
        str | None,
        typer.Option(
            "--repeat",
            parser=parse_shape,
            metavar="box:L,T,R,B",
            help="Repeat the features in this box (fractions of the image) in place of all that; beside it the image "
            "is stretched. A fifth number makes the edges soft.",
        ),
    ] = None,
    times: Annotated[
        int, typer.Option("--times", min=2, max=1024, metavar="N", help="How often the box is there afterwards.")
    ] = 3,
    vertical: Annotated[bool, typer.Option("--vertical", help="Repeat the box downwards.")] = False,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            parser=parse_at,
            metavar="PIXELSpx",
            help="Resolution whose features are expanded: coarse ones (4px, 8px) give new content, finer ones copies.",
        ),
    ] = "8px",
    *,
    draw: PlainDrawOptions,
    grid: GridOption = None,
    gap: GapOption = 0,
    batch: BatchOption = 8,
    run: RunOptions,
) -> None:
    """Make images larger: pad, tile or stretch their features, or repeat a part of them.

    The layers after --at turn the larger features into one image without edges, as in "StyleGAN of All Trades".
    """
    given = Given(context)
    _check(given, mode=mode, repeats=repeat is not None, sides=bool(left or right or top or bottom))
    images.check_out(out, given, force=run.force)
    from sgkit.render.expand import ExpandSettings, expand_scenes

    on = open_drawing(model, seeds, given, draw, device=run.device, precision=run.precision)
    settings = ExpandSettings(
        mode=mode,
        at=at,
        factor=None if factor is None else (factor[0], factor[1]),
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        filter=resize_filter,
        repeat=repeat,
        times=times,
        vertical=vertical,
    )
    result = images.write(
        "Expanding",
        on,
        lambda: expand_scenes(on, seeds, settings),
        out,
        given,
        grid=grid,
        gap=gap,
        batch=batch,
        force=run.force,
    )
    report.emit(result, json=run.json, show=images.show)


def _check(given: Given, *, mode: str, repeats: bool, sides: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: naming the option.
    """
    every_side = ("left", "right", "top", "bottom")
    because = "--repeat repeats a box and does nothing else"
    given.refuse("factor", *every_side, "mode", when=repeats, because=because)
    given.refuse("times", "vertical", when=not repeats, because="it is about --repeat, which is not given")
    given.refuse("resize_filter", when=mode != "resize", because="it is the filter of --mode resize")
    because = "--mode resize stretches the whole image, by --factor"
    given.refuse(*every_side, when=mode == "resize", because=because)
    given.refuse("left", "top", when=mode == "tile", because="--mode tile repeats the image to the right and down")
    given.refuse("factor", when=sides, because="sides say already how large the image becomes")
