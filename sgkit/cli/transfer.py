"""``sgkit transfer``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from sgkit.cli import report
from sgkit.cli.drawing import (
    BatchOption,
    GapOption,
    PictureOption,
    PlainDrawOptions,
    Sources,
    open_drawing,
    parse_sources,
)
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import ModelArgument, RunOptions
from sgkit.cli.regions import RegionOptions
from sgkit.cli.shapes import parse_layer_names
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.render.transfer import TransferResult

_REGIONS = "a part (eyes, brows, nose, mouth, face, hair) or a shape such as box:0,0,0.5,1 or mask.png"


class FromReference(NamedTuple):
    """A reference and its region."""

    source: int | Path
    region: str


def parse_reference(text: str | FromReference) -> FromReference:
    """A reference from ``7=eyes`` or ``face.npz=box:0,0,0.5,1``.

    Raises:
        UsageError: the region is missing, or more than one image is given.
        InputError: a file is not there.
    """
    if isinstance(text, FromReference):
        return text
    source, equals, region = text.partition("=")
    if not equals or not region.strip():
        raise UsageError(
            f"The reference {text!r} has no region. Write SOURCE=REGION, for example 7=eyes; a region is {_REGIONS}."
        )
    found = parse_sources(source.strip())
    if len(found) != 1:
        raise UsageError(f"A reference must be one image; {source.strip()!r} is {len(found)}. Repeat --reference.")
    return FromReference(found[0], region.strip())


@flatten_options
def transfer(
    context: typer.Context,
    model: ModelArgument,
    out: PictureOption,
    source: Annotated[
        Sources,
        typer.Option(
            "--source",
            parser=parse_sources,
            metavar="LIST",
            help="Images to change: seeds and latent files; one row each.",
        ),
    ],
    reference: Annotated[
        list[FromReference],
        typer.Option(
            "--reference",
            parser=parse_reference,
            metavar="SOURCE=REGION",
            help="A seed or latent file, and the region that it gives: parts of the face (eyes, brows, nose, mouth, "
            "face, hair; several with commas), box:L,T,R,B, polygon:X,Y,..., mask.png or another shape, in fractions "
            "of the image. Can be repeated.",
        ),
    ],
    mode: Annotated[
        Literal["features", "suzuki", "collins"],
        typer.Option(
            "--mode",
            help="features: mix features under a soft mask. suzuki: copy features under a hard mask. collins: exchange "
            "the style channels that belong to the region.",
        ),
    ] = "features",
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            parser=parse_layer_names,
            metavar="LAYERS",
            help="Layers that take part: all, coarse, middle, fine, numbers of w (0-6), 'to 32px' or 'from 64px'.",
            show_default="all; with --mode suzuki 'to 16px'",
        ),
    ] = None,
    align: Annotated[
        bool | None,
        typer.Option(
            "--align/--no-align",
            help="Give the references the pose of the source: the first 2,048 numbers of w+, at most four layers.",
            show_default="on for --mode features",
        ),
    ] = None,
    blend: Annotated[
        Literal["smooth", "soat"],
        typer.Option("--blend", help="Edges of boxes: smooth, or blurred as in the code of StyleGAN of All Trades."),
    ] = "smooth",
    *,
    where: RegionOptions,
    clusters: Annotated[
        int, typer.Option("--clusters", min=2, max=256, metavar="N", help="--mode collins: clusters of features.")
    ] = 16,
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=512, metavar="N", help="--mode collins: images that are clustered.")
    ] = 64,
    budget: Annotated[
        float,
        typer.Option(
            "--budget",
            min=0.0,
            max=1.0,
            metavar="FRACTION",
            help="--mode collins: how much may change outside the region, as a fraction of all channels.",
        ),
    ] = 0.2,
    show_inputs: Annotated[
        bool, typer.Option("--show-inputs", help="Start each row with the source and the references.")
    ] = False,
    draw: PlainDrawOptions,
    gap: GapOption = 2,
    batch: BatchOption = 8,
    run: RunOptions,
) -> None:
    """Transfer attributes: eyes, mouth, hair or any region of reference images into a source image.

    The pose of the references is aligned with the source first. Regions are those of the source's image.
    """
    given = Given(context)
    regions = where.check((one.region for one in reference), given)
    _refuse(given, mode, blend, has_parts=all(region.parts for region in regions))
    is_one = len(source) == 1 and not show_inputs and isinstance(source[0], int)
    given.refuse("gap", when=is_one, because="it is the space between images, and there is one only")
    from sgkit.runtime.files import check_new

    check_new(out, overwrite=run.force)
    segments = where.open()
    from sgkit.render.transfer import Reference, TransferSettings, transfer_file

    with report.progress_bar("Transferring") as on_progress:
        on = open_drawing(
            model,
            [*source, *(one.source for one in reference)],
            given,
            draw,
            device=run.device,
            precision=run.precision,
        )
        result = transfer_file(
            on,
            source,
            [Reference(one.source, one.region) for one in reference],
            out,
            TransferSettings(
                mode=mode,
                layers=layers,
                align=align,
                blend=blend,
                softness=where.softness,
                clusters=clusters,
                samples=samples,
                budget=budget,
            ),
            segmentation=segments,
            shows_inputs=show_inputs,
            gap=gap,
            batch=batch,
            overwrite=run.force,
            on_progress=on_progress,
        )
    report.emit(result, json=run.json, show=_show)


def _refuse(given: Given, mode: str, blend: str, *, has_parts: bool) -> None:
    """Refuse options that would change nothing."""
    given.refuse("clusters", "samples", "budget", when=mode != "collins", because="it is for --mode collins")
    given.refuse("blend", when=mode != "features", because="it is for --mode features")
    given.refuse("blend", when=blend == "soat" and has_parts, because="it blurs boxes, and the regions are parts")
    given.refuse("softness", when=mode == "suzuki", because="--mode suzuki has hard masks")
    given.refuse("softness", when=blend == "soat", because="--blend soat blurs boxes by half of their sides")


def _show(result: TransferResult) -> None:
    from_whom = ", ".join(f"{one} ({region})" for one, region in zip(result.references, result.regions, strict=True))
    report.out(f"{len(result.sources)} x {from_whom} in {result.files[0]} ({report.duration(result.seconds)})")
    pose = result.pose_layers
    aligned = f"layers {pose[0]}-{pose[-1]} of w+ from the source ({result.pose_dimensions} numbers)" if pose else "off"
    facts = {"mode": result.mode, "pose alignment": aligned}
    if result.clusters and result.clusters[0]:
        facts["clusters"] = "; ".join(",".join(map(str, one)) for one in result.clusters[0])
        facts["channels"] = str(result.files[1])
    report.facts(facts)
