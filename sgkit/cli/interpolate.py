"""``sgkit interpolate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.drawing import (
    DEFAULT_PSI,
    BatchOption,
    CutoffOption,
    GapOption,
    Grid,
    NoiseOption,
    PsiOption,
    Sources,
    check_model_hashes,
    draw_settings,
    parse_grid,
    parse_sources,
)
from sgkit.cli.options import DeviceOption, JsonOption, LabelOption, ModelArgument, PrecisionOption

if TYPE_CHECKING:
    from sgkit.tasks.interpolate import InterpolateResult

__all__ = ["interpolate"]


def interpolate(
    model: ModelArgument,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE|FOLDER", help="A .gif, .webp or .mp4 (by ffmpeg), or a folder of frames."),
    ],
    seeds: Annotated[
        Sources,
        typer.Option("--seeds", parser=parse_sources, metavar="LIST", help="Keyframes: seeds and latent files (.npz)."),
    ] = Sources((0, 1, 2, 3)),  # noqa: B008
    space: Annotated[Literal["z", "w"], typer.Option("--space", help="The space to walk in.")] = "w",
    path: Annotated[
        Literal["linear", "spherical"],
        typer.Option("--path", help="Straight, or at an even distance from the centre."),
    ] = "linear",
    smooth: Annotated[
        Literal["none", "cubic"], typer.Option("--smooth", help="cubic: pass the keyframes without a jerk.")
    ] = "none",
    frames: Annotated[int, typer.Option("--frames", min=2, metavar="N", help="Frames of the whole walk.")] = 120,
    fps: Annotated[float, typer.Option("--fps", metavar="N", help="Frames per second.")] = 30.0,
    loop: Annotated[bool, typer.Option("--loop", help="Come back to the first keyframe without a seam.")] = False,
    grid: Annotated[
        Grid,
        typer.Option(
            "--grid", parser=parse_grid, metavar="COLSxROWS", help="Several walks side by side.", show_default="1x1"
        ),
    ] = Grid((1, 1)),  # noqa: B008
    gap: GapOption = 0,
    psi: PsiOption = DEFAULT_PSI,
    psi_cutoff: CutoffOption = None,
    label: LabelOption = None,
    noise: NoiseOption = "const",
    batch: BatchOption = 8,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Walk from picture to picture: an animation, or a folder of frames.

    With --grid, the keyframes are shared out: --seeds 0-11 --grid 2x2 makes four walks of three keyframes each.
    """
    import sgkit
    from sgkit.runtime.device import resolve_device
    from sgkit.store.animations import check_animation
    from sgkit.tasks.interpolate import Curve, interpolate_file

    check_animation(out, fps=fps)
    with report.progress_bar("Walking") as on_progress:
        opened = sgkit.load(model, device=resolve_device(device))
        check_model_hashes(opened, seeds)
        settings = draw_settings(
            opened, seeds, psi=psi, cutoff=psi_cutoff, label=label, noise=noise, precision=precision
        )
        result = interpolate_file(
            opened,
            seeds,
            out,
            settings,
            curve=Curve(space=space, path=path, smooth=smooth, loop=loop),
            frames=frames,
            fps=fps,
            grid=grid,
            gap=gap,
            batch=batch,
            on_progress=on_progress,
        )
    report.emit(result, json=json, show=_show)


def _show(result: InterpolateResult) -> None:
    through = ", ".join(result.keyframes)
    report.out(f"{result.frames} frames in {result.path}, through {through} ({report.duration(result.seconds)})")
