"""``sgkit drag``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.drawing import LatentDrawOptions, Sources, open_drawing, parse_sources
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import ModelArgument, RunOptions
from sgkit.cli.shapes import parse_shape
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.inversion import DragResult

_NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"


class Way(tuple[tuple[float, float], tuple[float, float]]):
    """A handle point and its target, (x, y) in pixels."""

    __slots__ = ()


def parse_way(text: str | Way) -> Way:
    """A handle and its target from ``30,40:38,40``.

    Raises:
        typer.BadParameter: the text is not of that form, a number is negative, or the two are one.
    """
    if isinstance(text, Way):
        return text
    match = re.fullmatch(f"{_NUMBER},{_NUMBER}:{_NUMBER},{_NUMBER}", text)
    form = "Write HANDLE:TARGET as X,Y:X,Y in pixels of the image, from its left and top edge, for example 30,40:38,40."
    if not match:
        raise typer.BadParameter(f"Not a handle and its target: {text!r}. {form}")
    x, y, to_x, to_y = map(float, match.groups())
    if min(x, y, to_x, to_y) < 0:
        raise typer.BadParameter(f"A point of {text!r} is outside the image: pixels count from 0. {form}")
    if (x, y) == (to_x, to_y):
        raise typer.BadParameter(f"The handle of {text!r} is at its target already. {form}")
    return Way(((x, y), (to_x, to_y)))


@flatten_options
def drag(
    context: typer.Context,
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for the results.")],
    points: Annotated[
        list[Way] | None,
        typer.Option(
            "--point",
            parser=parse_way,
            metavar="X,Y:X,Y",
            help="A handle and the target to drag it to, in pixels of the image. Can be repeated.",
        ),
    ] = None,
    seeds: Annotated[
        Sources,
        typer.Option("--seeds", parser=parse_sources, metavar="SEED|FILE", help="The image: one seed or latent file."),
    ] = Sources((0,)),  # noqa: B008
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            parser=parse_shape,
            metavar="SHAPE",
            help="Where the image may change: an image file (white), or a shape, for example box:0.3,0.5,0.7,0.8.",
            show_default=False,
        ),
    ] = None,
    mask_weight: Annotated[
        float, typer.Option("--mask-weight", min=0.0, metavar="X", help="Strength of keeping what is outside --mask.")
    ] = 20.0,
    space: Annotated[
        Literal["w", "w+"],
        typer.Option("--space", help="w (one w for all layers) or w+ (one for each of the first layers; freer)."),
    ] = "w+",
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="LAYER",
            help="Layer whose features are followed: 32px or a name.",
            show_default="half of the image's size",
        ),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(
            "--radius",
            metavar="PIXELS",
            help="Radius of the patch around a handle that is moved.",
            show_default="3 of 512 pixels, at least 1",
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            "--window",
            metavar="PIXELS",
            help="How far from its last place a handle is looked for.",
            show_default="12 of 512 pixels, at least 2",
        ),
    ] = None,
    steps: Annotated[
        int,
        typer.Option("--steps", min=1, max=100_000, metavar="N", help="Most steps; it stops when all have arrived."),
    ] = 300,
    lr: Annotated[float, typer.Option("--lr", metavar="X", help="Learning rate.")] = 2e-3,
    frames: Annotated[
        int, typer.Option("--frames", min=0, metavar="N", help="Frames of the animation way.webp; 0 turns it off.")
    ] = 60,
    *,
    draw: LatentDrawOptions,
    run: RunOptions,
) -> None:
    """Drag points of an image to other places: the rest of the image follows (DragGAN).

    Writes latent.npz (for every command that takes latents), image.png, points.png (before and after, with handles in
    red and targets in blue), way.npz, way.webp and drag.json.
    """
    from sgkit.runtime.files import check_new

    given = Given(context)
    if not points:
        raise UsageError(
            "No points to drag: give one or more. For example, --point 30,40:38,40 moves what is at (30, 40) to "
            "(38, 40)."
        )
    if len(seeds) != 1:
        raise UsageError(f"A drag changes one image; {len(seeds)} were given. Give one seed or latent file: --seeds 3")
    given.refuse("mask_weight", when=mask is None, because="it is for --mask")
    if frames == 1:
        raise UsageError("--frames 1 is not an animation. Use 2 or more, or 0 to leave it out.")
    for name, value in (("--radius", radius), ("--window", window), ("--lr", lr)):
        if value is not None and value <= 0:
            raise UsageError(f"{name} is {value:g}; it must be above 0.")
    check_new(out, overwrite=run.force)
    from sgkit.inversion import DragSettings, drag_files

    settings = DragSettings(
        space=space, layer=layer, steps=steps, lr=lr, radius=radius, window=window, mask_weight=mask_weight
    )
    with report.progress_bar("Dragging") as on_progress:
        on = open_drawing(model, seeds, given, draw, device=run.device, precision=run.precision)
        one_w = "this model has one w for all layers, so w+ is the same as w"
        given.refuse("space", when=on.model.num_ws == 1, because=one_w)
        result = drag_files(
            on.inputs,
            seeds[0],
            [(way[0], way[1]) for way in points],
            out,
            settings,
            on.settings,
            mask=mask,
            frames=frames,
            overwrite=run.force,
            on_progress=on_progress,
        )
    report.emit(result, json=run.json, show=_show)


def _show(result: DragResult) -> None:
    pairs = zip(result.handles, result.tracked, result.targets, strict=True)
    report.table(("handle", "tracked at", "target"), [tuple(f"{x:.1f}, {y:.1f}" for x, y in row) for row in pairs])
    end = "arrived" if result.arrived else "not arrived; more --steps may help"
    report.out(
        f"{result.folder}: distance {result.start_distance:.2f} to {result.distance:.2f} px in {result.steps} steps, "
        f"{end} ({report.duration(result.seconds)})"
    )
