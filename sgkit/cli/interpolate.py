"""``sgkit interpolate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.drawing import (
    BatchOption,
    DrawOptions,
    GapOption,
    Grid,
    Sources,
    open_drawing,
    parse_grid,
    parse_sources,
)
from sgkit.cli.given import Given
from sgkit.cli.groups import Without, flatten_options
from sgkit.cli.options import ModelArgument, RunOptions
from sgkit.runtime.outputs import FILMS, check_animation

if TYPE_CHECKING:
    from sgkit.render.interpolate import InterpolateResult


@flatten_options
def interpolate(
    context: typer.Context,
    model: ModelArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE|FOLDER", help="A .mp4 (needs the extra 'video'), .webp or .gif file, or a folder."
        ),
    ],
    seeds: Annotated[
        Sources,
        typer.Option(
            "--seeds", parser=parse_sources, metavar="LIST", help="Keyframes, 2 or more: seeds and latent files (.npz)."
        ),
    ] = Sources((0, 1, 2, 3)),  # noqa: B008
    space: Annotated[Literal["z", "w"], typer.Option("--space", help="Latent space to interpolate in.")] = "w",
    path: Annotated[
        Literal["linear", "spherical"],
        typer.Option("--path", help="Straight lines, or arcs that keep the distance from the centre."),
    ] = "linear",
    smooth: Annotated[
        Literal["none", "cubic"],
        typer.Option("--smooth", help="cubic passes the keyframes at steady speed, without corners."),
    ] = "none",
    frames: Annotated[int, typer.Option("--frames", min=2, metavar="N", help="Total number of frames.")] = 120,
    fps: Annotated[float, typer.Option("--fps", metavar="N", help="Frames per second, in a film.")] = 30.0,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first keyframe, for a seamless loop.")] = False,
    grid: Annotated[
        Grid,
        typer.Option(
            "--grid",
            parser=parse_grid,
            metavar="COLSxROWS",
            help="Several interpolations side by side.",
            show_default="1x1",
        ),
    ] = Grid((1, 1)),  # noqa: B008
    gap: GapOption = 0,
    *,
    draw: Annotated[DrawOptions, Without({"psi_strip"})],
    batch: BatchOption = 8,
    run: RunOptions,
) -> None:
    """Interpolate between images: an animation, or a folder of frames.

    With --grid, the keyframes are divided: --seeds 0-11 --grid 2x2 makes four interpolations of three keyframes each.
    With several classes, every seed passes through all of them in turn.
    """
    from sgkit.runtime.files import check_new

    given = Given(context)
    given.refuse(
        "fps",
        when=out.suffix.lower() not in FILMS,
        because=f"--out {out} is a folder of frames, which has no frame rate",
    )
    given.refuse("gap", when=grid[0] * grid[1] == 1, because="it is the space between images of a --grid")
    check_new(out, overwrite=run.force)
    from sgkit.render.interpolate import Interpolation, interpolate_file

    check_animation(out, fps=fps)
    with report.progress_bar("Interpolating") as on_progress:
        on = open_drawing(model, seeds, given, draw, device=run.device, precision=run.precision)
        few = not loop and len(list(on.origins(seeds))) == 2 * grid[0] * grid[1]
        straight = "between 2 keyframes there is only a straight line"
        given.refuse("smooth", when=few and smooth == "cubic", because=straight)
        result = interpolate_file(
            on.inputs,
            seeds,
            out,
            on.settings,
            curve=Interpolation(space=space, path=path, smooth=smooth, loop=loop),
            frames=frames,
            fps=fps,
            grid=grid,
            gap=gap,
            batch=batch,
            overwrite=run.force,
            on_progress=on_progress,
        )
    report.emit(result, json=run.json, show=_show)


def _show(result: InterpolateResult) -> None:
    through = ", ".join(result.keyframes)
    report.out(f"{result.frames} frames in {result.path}, through {through} ({report.duration(result.seconds)})")
