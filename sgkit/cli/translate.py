"""``sgkit translate``."""

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
from sgkit.cli.options import RunOptions, parse_model
from sgkit.cli.regions import RegionOptions
from sgkit.cli.shapes import parse_layer_names
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.model import Model
    from sgkit.render.translate import TranslateResult


class Alphas(tuple[float, ...]):
    """Weights of the target, 0 to 1."""

    __slots__ = ()


class LayerWeight(NamedTuple):
    """Layers, and how much of alpha counts there."""

    layers: str
    weight: float


def parse_alphas(text: str | Alphas) -> Alphas:
    """Weights from ``0.7``, or several from ``0,0.25,0.5,0.75,1``.

    Raises:
        typer.BadParameter: the text is not such a list.
    """
    if isinstance(text, Alphas):
        return text
    try:
        found = Alphas(float(word) for word in text.split(","))
    except ValueError:
        found = Alphas()
    if not found or not all(0 <= alpha <= 1 for alpha in found):
        raise typer.BadParameter(
            f"Not a list of weights from 0 (the base) to 1 (the target): {text!r}. Write it like 0.7 or 0,0.5,1."
        )
    return found


def parse_by_layer(text: str | LayerWeight) -> LayerWeight:
    """Layers and their weight from ``coarse=0.3``.

    Raises:
        UsageError: no model has such layers, or the weight is not one.
    """
    if isinstance(text, LayerWeight):
        return text
    layers, equals, weight = text.rpartition("=")
    try:
        value = float(weight)
    except ValueError:
        value = -1.0
    if not equals or not 0 <= value <= 1:
        raise UsageError(
            f"Not a weight of layers: {text!r}. Write LAYERS=WEIGHT with a weight from 0 to 1, for example coarse=0.3."
        )
    return LayerWeight(parse_layer_names(layers), value)


@flatten_options
def translate(
    context: typer.Context,
    base: Annotated[
        Path, typer.Argument(metavar="BASE", parser=parse_model, help="The model whose images are translated.")
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            parser=parse_model,
            help="A model fine-tuned from it: sgkit train STORE --init BASE --freeze affine,mapping",
        ),
    ],
    out: PictureOption,
    seeds: Annotated[
        Sources,
        typer.Option(
            "--seeds", parser=parse_sources, metavar="LIST", help="Seeds and latent files of the base; one row each."
        ),
    ],
    mode: Annotated[
        Literal["blend", "swap"],
        typer.Option(
            "--mode",
            help="blend: mix the features of both models. swap: take --layers from the target and the others from the "
            "base (layer swapping, toonify).",
        ),
    ] = "blend",
    alpha: Annotated[
        Alphas,
        typer.Option(
            "--alpha",
            parser=parse_alphas,
            metavar="LIST",
            help="How much of the target, 0 to 1; one column for each, for example 0,0.25,0.5,0.75,1.",
            show_default="1",
        ),
    ] = Alphas((1.0,)),  # noqa: B008
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            parser=parse_layer_names,
            metavar="LAYERS",
            help="Layers of the target; the others are the base's: all, coarse, middle, fine, numbers of w (0-6), 'to "
            "32px' or 'from 64px'.",
            show_default="all; with --mode swap 'to 32px'",
        ),
    ] = None,
    by_layer: Annotated[
        list[LayerWeight] | None,
        typer.Option(
            "--by-layer",
            parser=parse_by_layer,
            metavar="LAYERS=WEIGHT",
            help="Multiply --alpha by this weight at these layers; other layers are the base's. Can be repeated.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="REGION",
            help="Translate only here: parts of the face (eyes, brows, nose, mouth, face, hair), box:L,T,R,B, "
            "polygon:X,Y,..., mask.png or another shape, in fractions of the image.",
        ),
    ] = None,
    *,
    where: RegionOptions,
    styles: Annotated[
        Sources | None,
        typer.Option(
            "--styles",
            parser=parse_sources,
            metavar="LIST",
            help="Seeds and latent files whose styles the target gets; one column for each.",
        ),
    ] = None,
    style_layers: Annotated[
        str,
        typer.Option(
            "--style-layers", parser=parse_layer_names, metavar="LAYERS", help="Which styles come from --styles."
        ),
    ] = "fine",
    show_inputs: Annotated[bool, typer.Option("--show-inputs", help="Start each row with the base's image.")] = False,
    draw: PlainDrawOptions,
    gap: GapOption = 2,
    batch: BatchOption = 8,
    run: RunOptions,
) -> None:
    """Translate images between two models: one, and another that was fine-tuned from it.

    At every layer the features of both are mixed by --alpha. Photos are translated by their projections in the base.
    """
    given = Given(context)
    where.check([] if region is None else [region], given)
    _refuse(given, mode, by_layer, region, styles)
    columns = len(alpha) * max(len(styles or ()), 1)
    is_one = len(seeds) * columns == 1 and not show_inputs and isinstance(seeds[0], int)
    given.refuse("gap", when=is_one, because="it is the space between images, and there is one only")
    from sgkit.runtime.files import check_new

    check_new(out, overwrite=run.force)
    segments = where.open()
    from sgkit.render.inputs import Inputs
    from sgkit.render.translate import BASE, TARGET, TranslateSettings, translate_file

    with report.progress_bar("Translating") as on_progress:
        on = open_drawing(base, [*seeds, *(styles or ())], given, draw, device=run.device, precision=run.precision)
        inputs = Inputs({BASE: on.model, TARGET: _open(target, on.model)}, path={BASE: base, TARGET: target})
        result = translate_file(
            inputs,
            seeds,
            out,
            TranslateSettings(
                mode=mode,
                alphas=tuple(alpha),
                layers=layers,
                by_layer=dict(by_layer or ()),
                region=region,
                softness=where.softness,
                style_layers=style_layers,
            ),
            on.settings,
            styles=styles,
            segmentation=segments,
            shows_inputs=show_inputs,
            gap=gap,
            batch=batch,
            overwrite=run.force,
            on_progress=on_progress,
        )
    for warning in result.warnings:
        report.warning(warning)
    report.emit(result, json=run.json, show=_show)


def _open(target: Path, base: Model) -> Model:
    import sgkit

    return sgkit.load(target, device=base.device)


def _refuse(
    given: Given, mode: str, by_layer: list[LayerWeight] | None, region: str | None, styles: Sources | None
) -> None:
    """Refuse options that would change nothing."""
    given.refuse("alpha", when=mode == "swap", because="--mode swap takes layers as they are; use --mode blend")
    given.refuse("by_layer", when=mode == "swap", because="--mode swap takes layers as they are; use --layers")
    given.refuse("layers", when=bool(by_layer), because="--by-layer names layers with their weights")
    given.refuse("softness", when=region is None, because="it is the soft edge of --region")
    given.refuse("style_layers", when=styles is None, because="it says what comes from --styles")


def _show(result: TranslateResult) -> None:
    count = f"{len(result.sources)} x {result.styles * len(result.alphas)} translations"
    report.out(f"{count} in {result.file} ({report.duration(result.seconds)})")
    shared = f"{result.affine_shared} of {result.affine_layers} affine layers"
    shared = shared if result.affine_layers else "no affine layers (the models have none)"
    mapping = "the mapping network" if result.mapping_shared else "no mapping network"
    report.facts({"shared by the models": f"{shared}, {mapping}"})
