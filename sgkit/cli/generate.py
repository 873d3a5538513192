"""``sgkit generate``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import images, report
from sgkit.cli.drawing import BatchOption, DrawOptions, GapOption, GridOption, LatentOption, open_drawing
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import ModelArgument, RunOptions, Seeds, parse_seeds
from sgkit.errors import UsageError
from sgkit.runtime.outputs import STILLS

if TYPE_CHECKING:
    from sgkit.render.generate import GenerateResult


DEFAULT_SEEDS = range(16)


@flatten_options
def generate(
    context: typer.Context,
    model: ModelArgument,
    out: images.OutOption,
    seeds: Annotated[
        Seeds,
        typer.Option(
            "--seeds",
            parser=parse_seeds,
            metavar="LIST",
            help="Seeds, for example 0,3,7-12 (both ends included).",
            show_default="0-15, or none with --latent",
        ),
    ] = Seeds(),  # noqa: B008
    latent: LatentOption = None,
    *,
    draw: DrawOptions,
    grid: GridOption = None,
    gap: GapOption = 0,
    latents: Annotated[bool, typer.Option("--latents", help="Also write the latents, as .npz files.")] = False,
    space: Annotated[
        Literal["z", "w", "w+", "s"], typer.Option("--space", help="Latent space that --latents writes.")
    ] = "w+",
    image_format: Annotated[
        Literal["png", "jpg", "webp"] | None,
        typer.Option("--format", help="Format of the images in a folder.", show_default="png"),
    ] = None,
    batch: BatchOption = 8,
    run: RunOptions,
) -> None:
    """Generate images from seeds or latent files: a folder of them, or one grid.

    Every image records how it was made, and a folder has a manifest.json. Under torchrun, processes share the files.
    """
    single = out.suffix.lower() in STILLS
    given, sources = Given(context), [*seeds, *chain.from_iterable(latent or ())] or [*DEFAULT_SEEDS]
    images.check_out(out, given, force=run.force)
    _check(given, out, single=single, latents=latents)
    extension = image_format or "png"
    several = draw.psi_strip or set(",-") & set(draw.label or "") or draw.label == "all"
    seeded = [] if several else [f"seed{source:04d}.{extension}" for source in sources if isinstance(source, int)]
    _check_new([out.with_suffix(".npz")] * latents if single else [out / name for name in seeded], force=run.force)
    from sgkit.render.generate import generate_files, generate_grid
    from sgkit.runtime.distributed import distributed

    with distributed(run.device) as processes, report.progress_bar("Generating") as on_progress:
        if single and processes.world_size > 1:
            raise UsageError("A grid is made by one process. Run it without torchrun, or give a folder as --out.")
        on = open_drawing(model, sources, given, draw, device=processes.device, precision=run.precision)
        kept = space if latents else None
        if single:
            cells = grid or (len(list(on.origins(sources))), 1)
            given.refuse("gap", when=cells == (1, 1), because="it is the space between images, and there is one only")
            result = generate_grid(
                on.inputs,
                sources,
                out,
                on.settings,
                shape=grid,
                gap=gap,
                latents=kept,
                batch=batch,
                overwrite=run.force,
                on_progress=on_progress,
            )
        else:
            result = generate_files(
                on.inputs,
                sources,
                out,
                on.settings,
                image_format=extension,
                latents=kept,
                batch=batch,
                overwrite=run.force,
                context=processes,
                on_progress=on_progress,
            )
    report.emit(result, json=run.json, show=_show)


def _check(given: Given, out: Path, *, single: bool, latents: bool) -> None:
    """Refuse options that do not go together, before anything is loaded.

    Raises:
        UsageError: naming the option.
    """
    because = f"the extension of --out {out} chooses the format; --format is for a folder of images"
    given.refuse("image_format", when=single, because=because)
    given.refuse("space", when=not latents, because="it is the space that --latents writes, and --latents is not given")


def _check_new(files: Iterable[Path], *, force: bool) -> None:
    from sgkit.runtime.files import check_new

    for file in files:
        check_new(file, overwrite=force)


def _show(result: GenerateResult) -> None:
    where = result.manifest.parent if result.manifest else result.files[0]
    what = f"{result.count} image{'s' * (result.count != 1)}"
    others = [file.name for file in result.files if file.suffix == ".npz"]
    latents = "" if not others else f", latents in {others[0] if len(others) == 1 else '*.npz'}"
    report.out(f"{what} in {where}{latents} ({report.duration(result.seconds)})")
