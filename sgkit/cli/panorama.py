"""``sgkit panorama``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.drawing import (
    CutoffOption,
    LatentOption,
    LatentSpaceOption,
    NoiseOption,
    PsiOption,
    open_drawing,
)
from sgkit.cli.options import (
    DEFAULT_PSI,
    MAX_SEED,
    DeviceOption,
    ForceOption,
    Given,
    JsonOption,
    LabelOption,
    ModelArgument,
    PrecisionOption,
    Seeds,
    parse_seeds,
)
from sgkit.cli.streaming import (
    MOST_PIXELS,
    FpsOption,
    MaxPixelsOption,
    PanOption,
    SpeedOption,
    TileOption,
    ViewOption,
    check_output,
    pan_settings,
)

if TYPE_CHECKING:
    from sgkit.render.panorama import PanoramaResult


DEFAULT_SEEDS = range(5)


def panorama(
    context: typer.Context,
    model: ModelArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The image to write: .png, .jpg, .webp, .tif, or .dzi (a deep-zoom folder). With --pan a video: .mp4, "
            ".gif, .webp or a folder of frames.",
        ),
    ],
    seeds: Annotated[
        Seeds,
        typer.Option(
            "--seeds",
            parser=parse_seeds,
            metavar="LIST",
            help="Seeds, for example 0,3,7-12 (both ends included).",
            show_default="0-4, or none with --latent",
        ),
    ] = Seeds(),  # noqa: B008
    latent: LatentOption = None,
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            min=1,
            metavar="PIXELS",
            help="Total width.",
            show_default="number of seeds x the model's width",
        ),
    ] = None,
    height: Annotated[
        int | None, typer.Option("--height", min=1, metavar="PIXELS", help="Total height, of a --vertical panorama.")
    ] = None,
    vertical: Annotated[bool, typer.Option("--vertical", help="Run from top to bottom.")] = False,
    wrap: Annotated[bool, typer.Option("--wrap", help="Make the ends join, for a 360-degree panorama.")] = False,
    overlap: Annotated[
        float,
        typer.Option(
            "--overlap",
            min=0.0,
            max=1.0,
            metavar="FRACTION",
            help="Width of the blend between neighbours, as a fraction of each image's width.",
        ),
    ] = 0.5,
    smooth: Annotated[
        float,
        typer.Option(
            "--smooth",
            min=0.0,
            metavar="WIDTH",
            help="Smooth the sequence of z by a Gaussian of this width; 0.7 gives calmer panoramas.",
        ),
    ] = 0.0,
    psi: PsiOption = DEFAULT_PSI,
    psi_cutoff: CutoffOption = None,
    label: LabelOption = None,
    noise: NoiseOption = "const",
    latent_space: LatentSpaceOption = "auto",
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Random seed of --noise random.")
    ] = 0,
    tile: TileOption = None,
    max_pixels: MaxPixelsOption = MOST_PIXELS,
    pan: PanOption = None,
    view: ViewOption = None,
    speed: SpeedOption = 4.0,
    fps: FpsOption = 30.0,
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Blend many images into one panorama of any length, without visible seams.

    Images appear in the order of the seeds. Large panoramas are drawn tile by tile; if that is interrupted, the same
    command continues. Under torchrun, processes share the tiles.
    """
    given, sources = Given(context), [*seeds, *(file for files in latent or [] for file in files)] or [*DEFAULT_SEEDS]
    fixed, side = ("width", "--height") if vertical else ("height", "--width")
    direction = "vertical" if vertical else "horizontal"
    given.refuse(fixed, when=True, because=f"the model fixes it in a {direction} panorama, whose length is {side}")
    given.refuse("seed", when=noise != "random", because="it is the seed of --noise random")
    check_output(out, given, pan, fps=fps, speed=speed)
    from sgkit.runtime.files import check_new

    check_new(out, overwrite=force, resumable=pan is None)
    from sgkit.render.panorama import LineSettings, panorama_file
    from sgkit.runtime.distributed import distributed

    with distributed(device) as processes, report.progress_bar("Drawing") as on_progress:
        on = open_drawing(
            model,
            processes.device,
            sources,
            given,
            psi=psi,
            cutoff=psi_cutoff,
            label=label,
            noise=noise,
            precision=precision,
            latent_space=latent_space,
        )
        alone = sum(1 for _ in on.origins(sources)) == 1
        for name in ("overlap", "smooth"):
            given.refuse(name, when=alone, because="it is about neighbours, and there is one image only")
        line = LineSettings(
            pixels=height if vertical else width,
            overlap=overlap,
            is_ring=wrap,
            axis="y" if vertical else "x",
            smoothing=smooth,
            noise_seed=seed,
        )
        result = panorama_file(
            on.inputs,
            sources,
            out,
            on.settings,
            line,
            tile=tile,
            max_pixels=max_pixels,
            pan=pan_settings(pan, view, speed=speed, fps=fps),
            context=processes,
            overwrite=force,
            on_progress=on_progress,
            on_note=report.note,
        )
    report.emit(result, json=json, show=_show)


def _show(result: PanoramaResult) -> None:
    size = f"{result.width}x{result.height}, {len(result.styles)} image{'s' * (len(result.styles) != 1)}"
    size += f", {result.tiles:,} tiles" if result.tiles else ""
    size += f", {result.frames} frames" if result.frames else ""
    report.out(f"{size} in {result.file} ({report.duration(result.seconds)})")
    if result.seam_ratio is not None:
        report.facts({"seam visibility": f"{result.seam_ratio:.2f} (1.0 = no visible seam)"})
