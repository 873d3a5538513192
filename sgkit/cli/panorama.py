"""``sgkit panorama``."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from sgkit.cli import report
from sgkit.cli.drawing import Grid, LatentOption, NoiseSeedOption, PlainDrawOptions, Sources, open_drawing, parse_grid
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import MAX_SEED, ModelArgument, RunOptions, Seeds, parse_existing, parse_seeds
from sgkit.cli.streaming import StreamOptions
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.render.panorama import PanoramaResult
    from sgkit.render.places import Painting, Rows


DEFAULT_SEEDS = range(5)


class PanoramaCommand(TyperCommand):
    """``--wrap`` may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a ``--wrap`` without a value the value ``auto``."""
        alone = [
            index for index, word in enumerate(args) if word == "--wrap" and args[index + 1 : index + 2] not in _WORDS
        ]
        for index in reversed(alone):
            args.insert(index + 1, "auto")
        return super().parse_args(ctx, args)


COMMAND_CLASS = PanoramaCommand
_WORDS = [[word] for word in ("x", "y", "both", "none", "auto")]


@flatten_options
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
            help="Seeds, for example 0,3,7-12 (both ends included); in a grid row by row.",
            show_default="0-4, or none with --latent",
        ),
    ] = Seeds(),  # noqa: B008
    latent: LatentOption = None,
    grid: Annotated[
        Grid | None,
        typer.Option(
            "--grid",
            parser=parse_grid,
            metavar="COLSxROWS",
            help="Arrange the images in columns and rows, for example 4x3.",
            show_default="one row",
        ),
    ] = None,
    endless: Annotated[
        int | None,
        typer.Option(
            "--endless",
            min=0,
            max=MAX_SEED,
            metavar="SEED",
            help="Use a different seed at every place, computed from this number and the place.",
        ),
    ] = None,
    places: Annotated[
        Path | None,
        typer.Option(
            "--places",
            metavar="FILE.txt",
            help="Text file that names what stands at each place: a line for each row, entries such as 12, face.npz or "
            "12@winter-day separated by commas.",
        ),
    ] = None,
    painting: Annotated[
        Path | None,
        typer.Option(
            "--map",
            parser=parse_existing,
            metavar="IMAGE",
            help="Small image whose colours choose the class or image of each place.",
        ),
    ] = None,
    legend: Annotated[
        str | None,
        typer.Option(
            "--legend",
            metavar="LIST",
            help="What the colours of --map choose, for example white=winter-day,#00ff00=summer-day,red=seed:12.",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            min=1,
            metavar="PIXELS",
            help="Total width.",
            show_default="number of columns x the model's width",
        ),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(
            "--height",
            min=1,
            metavar="PIXELS",
            help="Total height.",
            show_default="number of rows x the model's height",
        ),
    ] = None,
    vertical: Annotated[bool, typer.Option("--vertical", help="Run from top to bottom.")] = False,
    wrap: Annotated[
        Literal["none", "x", "y", "both", "auto"],
        typer.Option(
            "--wrap",
            metavar="[x|y|both]",
            help="Make the ends join: x for a 360-degree panorama, both for a texture that tiles. Alone: along a line, "
            "both in a grid.",
        ),
    ] = "none",
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
    blend: Annotated[
        Literal["smooth", "soat"],
        typer.Option(
            "--blend",
            help="How weights rise over a blend: smooth, or as in the code of StyleGAN of All Trades (linear, over "
            "half of each pair).",
        ),
    ] = "smooth",
    mode: Annotated[
        Literal["plane", "pairs"],
        typer.Option(
            "--mode",
            help="plane: one image. pairs: the construction of StyleGAN of All Trades, for comparison (neighbours "
            "are drawn in pairs, cut and pasted).",
        ),
    ] = "plane",
    smooth: Annotated[
        float,
        typer.Option(
            "--smooth",
            min=0.0,
            max=64.0,
            metavar="WIDTH",
            help="Smooth the z of neighbours by a Gaussian of this width; 0.7 gives calmer panoramas.",
        ),
    ] = 0.0,
    *,
    draw: PlainDrawOptions,
    seed: NoiseSeedOption = 0,
    stream: StreamOptions,
    run: RunOptions,
) -> None:
    """Blend many images into one panorama of any size, without visible seams: a line, or a grid.

    Images appear in the order of the seeds, row by row. Large panoramas are drawn tile by tile; if that is interrupted,
    the same command continues. Under torchrun, processes share the tiles.
    """
    given = Given(context)
    is_grid = any(one is not None for one in (grid, endless, places, painting))
    _check(given, painting=painting, places=places, endless=endless, is_grid=is_grid, vertical=vertical)
    given.refuse("overlap", when=blend == "soat", because="--blend soat blends over half of each pair")
    given.refuse("seed", when=draw.noise != "random", because="it is the seed of --noise random")
    stream.check(out, given)
    from sgkit.runtime.files import check_new

    check_new(out, overwrite=run.force, resumable=stream.pan is None)
    placed, painted, named = _read(places, painting, legend)
    listed = _listed(seeds, latent, is_given=bool(named or painted) or endless is not None)
    from sgkit.render.panorama import panorama_file
    from sgkit.render.panorama_scene import PanoramaSettings
    from sgkit.runtime.distributed import distributed

    settings = PanoramaSettings(
        grid=grid,
        vertical=vertical,
        width=width,
        height=height,
        overlap=overlap,
        blend=blend,
        mode=mode,
        wrap=wrap if wrap != "auto" else "both" if is_grid else "y" if vertical else "x",
        smoothing=smooth,
        endless=endless,
        noise_seed=seed,
    )
    with distributed(run.device) as processes, report.progress_bar("Drawing") as on_progress:
        on = open_drawing(model, listed or named or [0], given, draw, device=processes.device, precision=run.precision)
        if not is_grid:
            _check_alone(given, len(list(on.origins(listed))))
        result = panorama_file(
            on.inputs,
            listed,
            out,
            on.settings,
            settings,
            places=placed,
            painting=painted,
            tile=stream.tile,
            max_pixels=stream.max_pixels,
            pan=stream.pan_settings(),
            context=processes,
            overwrite=run.force,
            on_progress=on_progress,
            on_note=report.note,
        )
    report.emit(result, json=run.json, show=_show)


def _read(
    places: Path | None, painting: Path | None, legend: str | None
) -> tuple[Rows | None, Painting | None, list[int | Path]]:
    """What the files of --places and --map name, and all sources in it."""
    from sgkit.render.places import parse_legend, read_painting, read_places

    placed = None if places is None else read_places(places)
    painted = None if painting is None else read_painting(painting, parse_legend(legend or ""))
    chosen = [choice for row in placed or [] for choice in row] + list(painted.choices if painted else ())
    return placed, painted, [choice.source for choice in chosen if choice.source is not None]


def _check(
    given: Given, *, painting: Path | None, places: Path | None, endless: int | None, is_grid: bool, vertical: bool
) -> None:
    """Refuse options that contradict each other."""
    given.refuse("legend", when=painting is None, because="it explains the colours of --map")
    if painting is not None and "legend" not in given:
        raise UsageError(
            "--map needs --legend, which says what its colours choose: --legend white=winter-day,#00ff00=summer-day"
        )
    others = ("seeds", "latent", "endless", "grid", "painting", "legend")
    given.refuse(*others, when=places is not None, because="--places names what stands at each place")
    given.refuse("seeds", "latent", when=endless is not None, because="--endless has a seed for every place")
    given.refuse("vertical", when=is_grid, because="in a grid, columns and rows say where images are")
    fixed, side = ("width", "--height") if vertical else ("height", "--width")
    direction = "vertical" if vertical else "horizontal"
    because = f"the model fixes it in a {direction} panorama, whose length is {side}; --grid has both"
    given.refuse(fixed, when=not is_grid, because=because)
    if endless is not None and not any(name in given for name in ("grid", "painting", "width", "height")):
        raise UsageError("--endless needs a size: give --grid COLSxROWS, or --width and --height in pixels.")


def _listed(seeds: Seeds, latent: list[Sources] | None, *, is_given: bool) -> list[int | Path]:
    """Seeds, then latent files; the default ones if nothing else is given."""
    found = [*seeds, *chain.from_iterable(latent or ())]
    return found or ([] if is_given else [*DEFAULT_SEEDS])


def _check_alone(given: Given, count: int) -> None:
    because = "it is about neighbours, and there is one image only"
    given.refuse("overlap", "smooth", "blend", when=count == 1, because=because)


def _show(result: PanoramaResult) -> None:
    places = result.columns * result.rows
    size = f"{result.width}x{result.height}, {places:,} image{'s' * (places != 1)}"
    size += f", {result.tiles:,} tiles" if result.tiles else ""
    size += f", {result.frames} frames" if result.frames else ""
    report.out(f"{size} in {result.file} ({report.duration(result.seconds)})")
    if result.seam_ratio is not None:
        report.facts({"seam visibility": f"{result.seam_ratio:.2f} (1.0 = no visible seam)"})
