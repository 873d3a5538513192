"""``sgkit shift``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sgkit.cli import images, report
from sgkit.cli.drawing import BatchOption, GapOption, GridOption, PlainDrawOptions, Sources, open_drawing, parse_sources
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import MAX_SEED, ModelArgument, RunOptions, parse_image
from sgkit.cli.shapes import parse_at, part_parser
from sgkit.errors import UsageError


@flatten_options
def shift(
    context: typer.Context,
    model: ModelArgument,
    out: images.OutOption,
    seeds: Annotated[
        Sources,
        typer.Option(
            "--seeds",
            parser=parse_sources,
            metavar="LIST",
            help="Seeds and latent files, for example 0,3,7-12,face.npz.",
            show_default="none with --photo",
        ),
    ] = Sources(),  # noqa: B008
    photo: Annotated[
        list[str] | None,
        typer.Option(
            "--photo",
            parser=parse_image,
            metavar="IMAGE",
            help="Find the latents of this photo first, as sgkit project does (w+); kept in OUT-projected. Can "
            "be repeated.",
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, metavar="N", help="Number of optimisation steps for --photo.")
    ] = 500,
    copy: Annotated[
        list[str] | None,
        typer.Option(
            "--copy",
            parser=part_parser("copy"),
            metavar="'SHAPE by X,Y'",
            help="Also show this part elsewhere: 'box:L,T,R,B by X,Y' (how far right and down) or '... to X,Y' (where "
            "its left and top edges go), in fractions of the image; add 'mirror x' to mirror it. Shapes are those of "
            "sgkit blend, mask.png among them. Can be repeated.",
        ),
    ] = None,
    move: Annotated[
        list[str] | None,
        typer.Option(
            "--move",
            parser=part_parser("move"),
            metavar="'SHAPE by X,Y'",
            help="Show this part elsewhere, and fill its place from its surroundings. Can be repeated.",
        ),
    ] = None,
    swap: Annotated[
        list[str] | None,
        typer.Option(
            "--swap",
            parser=part_parser("swap"),
            metavar="'SHAPE by X,Y'",
            help="Exchange this part with what is there. Can be repeated.",
        ),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            parser=part_parser("mirror"),
            metavar="'SHAPE x|y|both'",
            help="Mirror this part, left to right (x), upside down (y) or both. Can be repeated.",
        ),
    ] = None,
    random: Annotated[
        int, typer.Option("--random", min=0, metavar="N", help="Make N variants of each image with random parts moved.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Seed of --random.")] = 0,
    along: Annotated[
        Literal["x", "y", "both"],
        typer.Option("--along", help="Where --random moves parts: sideways (x), up and down (y), or both."),
    ] = "x",
    softness: Annotated[
        float,
        typer.Option(
            "--softness",
            min=0.0,
            max=1.0,
            metavar="FRACTION",
            help="Width of the soft edges of boxes and ellipses that do not say it, as a fraction of the image.",
        ),
    ] = 0.1,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            parser=parse_at,
            metavar="PIXELSpx",
            help="Resolution whose features are moved: finer ones copy exactly, coarser ones blend more.",
        ),
    ] = "16px",
    parts_of: Annotated[
        Sources | None,
        typer.Option(
            "--parts-of",
            parser=parse_sources,
            metavar="SEED|FILE",
            help="Take the parts from this image instead (the paper's patch swap).",
        ),
    ] = None,
    features_only: Annotated[
        bool,
        typer.Option(
            "--features-only",
            help="Leave the image so far in place (architecture skip), as the paper's patch swap does.",
        ),
    ] = False,
    *,
    draw: PlainDrawOptions,
    grid: GridOption = None,
    gap: GapOption = 0,
    batch: BatchOption = 8,
    run: RunOptions,
) -> None:
    """Make new images from one: copy, move, swap or mirror parts of its features.

    The layers after --at make the parts fit together. Photos are projected, not trained on: --photo, or folders of
    sgkit project as --seeds.
    """
    given, sources = Given(context), [*seeds]
    given.refuse("steps", when=not photo, because="it is about --photo, which is not given")
    if not (seeds or photo):
        raise UsageError("No image was given. Give seeds or latent files with --seeds, or a photo with --photo.")
    given.refuse("seed", "along", when=random == 0, because="it is about --random, which is not given")
    if not (copy or move or swap or mirror or random):
        raise UsageError(
            "Nothing would be moved. Give --copy, --move, --swap or --mirror, for example --copy 'box:0.1,0.2,0.4,0.6 "
            "by 0.5,0', or --random 8."
        )
    images.check_out(out, given, force=run.force)
    from sgkit.render.shift import ShiftSettings, shift_scenes

    if photo:
        sources += _projected(model, photo, out, steps=steps, label=draw.label, run=run)
        given = given if any(isinstance(one, int) for one in [*seeds, *(parts_of or ())]) else given.without("label")
    on = open_drawing(model, [*sources, *(parts_of or ())], given, draw, device=run.device, precision=run.precision)
    if features_only:
        has_image = any(spec.kind == "rgb" for spec in on.model.generator.synthesis.plan[:-1])
        because = "only models of the architecture skip have an image before the last layer"
        given.refuse("features_only", when=not has_image, because=because)
    settings = ShiftSettings(
        copies=tuple(copy or ()),
        moves=tuple(move or ()),
        swaps=tuple(swap or ()),
        mirrors=tuple(mirror or ()),
        variants=random,
        seed=seed,
        along=along,
        softness=softness,
        at=at,
        image=not features_only,
    )
    result = images.write(
        "Shifting",
        on,
        lambda: shift_scenes(on, sources, settings, parts_of=parts_of or ()),
        out,
        given,
        grid=grid,
        gap=gap,
        batch=batch,
        force=run.force,
    )
    report.emit(result, json=run.json, show=images.show)


def _projected(
    model: Path, photos: list[str], out: Path, *, steps: int, label: str | None, run: RunOptions
) -> list[Path]:
    """Latent files of photos, in a folder beside ``out``; those that are there already are used again."""
    import sgkit
    from sgkit.inversion import ProjectSettings, project_files
    from sgkit.model.precision import drawing_precision
    from sgkit.render.inputs import Inputs
    from sgkit.runtime.device import resolve_device
    from sgkit.runtime.path_checks import LATENT

    opened = sgkit.load(model, device=resolve_device(run.device))
    folder = out.with_name(f"{out.stem if out.suffix else out.name}-projected")
    with report.progress_bar("Projecting") as on_progress:
        found = project_files(
            Inputs(opened, path=model),
            photos,
            folder,
            ProjectSettings(space="w+" if opened.num_ws > 1 else "w", steps=steps),
            label=label,
            precision=drawing_precision(run.precision, opened.config, opened.device),
            on_progress=on_progress,
        )
    found.raise_unusable()
    for image in found.images:
        report.note(f"{image.source}: latents in {folder / image.name} (PSNR {image.psnr:.1f} dB).")
    return [folder / image.name / LATENT for image in found.images]
