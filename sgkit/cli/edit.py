"""``sgkit edit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.drawing import BatchOption, GapOption, PlainDrawOptions, open_drawing
from sgkit.cli.editing import AnyModelOption, MoveOptions
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import ModelArgument, RunOptions, one_or_each
from sgkit.cli.shapes import parse_layer_names, parse_shape
from sgkit.runtime.outputs import FILMS, check_animation

if TYPE_CHECKING:
    from sgkit.render.edit import EditResult


@flatten_options
def edit(
    context: typer.Context,
    model: ModelArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE|FOLDER",
            help="A .png file for strips; a .gif, .webp or .mp4 file (needs the extra 'video'), or a folder, for a "
            "slider that goes there and back.",
        ),
    ],
    *,
    editing: MoveOptions,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            parser=parse_shape,
            metavar="SHAPE",
            help="Edit only this place: an image file (white is edited), or a shape, for example "
            "box:0.3,0.5,0.7,0.8,0.1 (left, top, right, bottom, softness, as fractions of the image).",
            show_default=False,
        ),
    ] = None,
    mask_layers: Annotated[
        str,
        typer.Option(
            "--mask-layers",
            parser=parse_layer_names,
            metavar="LAYERS",
            help="Layers at which --mask acts, as in --layers.",
        ),
    ] = "all",
    steps: Annotated[
        int, typer.Option("--steps", min=1, max=100, metavar="N", help="Images of a strip after the one before.")
    ] = 4,
    both: Annotated[
        bool, typer.Option("--both", help="Also show the opposite: from minus the strength to the strength.")
    ] = False,
    frames: Annotated[int, typer.Option("--frames", min=2, metavar="N", help="Frames of an animation.")] = 60,
    fps: Annotated[float, typer.Option("--fps", metavar="N", help="Frames per second, in a film.")] = 30.0,
    gap: GapOption = 0,
    draw: PlainDrawOptions,
    any_model: AnyModelOption = False,
    batch: BatchOption = 8,
    run: RunOptions,
) -> None:
    """Edit images along directions or style channels: strips before and after, or animated sliders.

    Strength 1 is one standard deviation of the model's latents along a direction, or all of a difference.
    """
    from sgkit.runtime.files import check_new

    given = Given(context)
    moves, sources = editing.moves(given), editing.sources()
    still = out.suffix.lower() == ".png"
    _refuse_idle(given, out, mask=mask, still=still)
    check_new(out, overwrite=run.force)
    from sgkit.render.edit import EditSettings, edit_file

    if not still:
        check_animation(out, fps=fps)
    with report.progress_bar("Editing") as on_progress:
        on = open_drawing(model, sources, given, draw, device=run.device, precision=run.precision, any_model=any_model)
        by = EditSettings(
            layers=editing.layers,
            s_psi=one_or_each(editing.s_psi),
            mask=mask,
            mask_layers=mask_layers,
            steps=steps,
            both=both,
        )
        result = edit_file(
            on.inputs,
            sources,
            moves,
            out,
            on.settings,
            by=by,
            frames=frames,
            fps=fps,
            gap=gap,
            batch=batch,
            overwrite=run.force,
            on_progress=on_progress,
        )
    report.emit(result, json=run.json, show=_show)


def _refuse_idle(given: Given, out: Path, *, mask: str | None, still: bool) -> None:
    """Refuse options that would change nothing."""
    given.refuse("mask_layers", when=mask is None, because="it is for --mask")
    given.refuse("steps", when=not still, because=f"--out {out} is an animation; use --frames")
    given.refuse("frames", "fps", when=still, because=f"--out {out} is a still image")
    folder = out.suffix.lower() not in FILMS
    given.refuse("fps", when=folder, because=f"--out {out} is a folder of frames, which has no frame rate")


def _show(result: EditResult) -> None:
    what = f"{result.frames} frames" if result.frames else f"{len(result.sources)} x {len(result.shares)} images"
    moves = "; ".join(result.moves) or "truncation in s"
    report.out(f"{what} in {result.path}: {moves} ({report.duration(result.seconds)})")
