"""``sgkit blend``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import images, report
from sgkit.cli.drawing import NoiseSeedOption, PictureOption, PlainDrawOptions, open_drawing
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import ModelArgument, RunOptions
from sgkit.cli.shapes import parse_layer_names, parse_placed_shape
from sgkit.config.placed import parse_placed
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.render.blend import BlendResult


@flatten_options
def blend(
    context: typer.Context,
    model: ModelArgument,
    out: PictureOption,
    seeds: images.SourcesOption,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            parser=parse_placed_shape,
            metavar="[N=]SHAPE[@LAYERS]",
            help="Where an image shows over the first one: box:L,T,R,B, ellipse:L,T,R,B, polygon:X,Y,X,Y,..., "
            "radial:X,Y,R,R, ramp:x, all:0.5, mask.png (white where it shows) or not:SHAPE, in fractions of the image. "
            "N is the image (2 is the second); LAYERS are those of --layers. Can be repeated.",
            show_default="parts as --direction says",
        ),
    ] = None,
    direction: Annotated[
        Literal["horizontal", "vertical", "radial"],
        typer.Option(
            "--direction", help="Without --shape: images from left to right, top to bottom, or the centre outwards."
        ),
    ] = "horizontal",
    overlap: Annotated[
        float,
        typer.Option(
            "--overlap",
            min=0.0,
            max=1.0,
            metavar="FRACTION",
            help="Width of the blend between neighbours, as a fraction of each image's part.",
        ),
    ] = 1.0,
    blend_ramp: Annotated[
        Literal["smooth", "soat"],
        typer.Option("--blend", help="Ramp of the blend: smooth, or that of the paper's code (two images)."),
    ] = "smooth",
    mode: Annotated[
        Literal["blend", "suzuki"],
        typer.Option(
            "--mode",
            help="blend: all images continue with the mix. suzuki: the others are copied into the first one and stay "
            "as they are (Suzuki et al. 2018).",
        ),
    ] = "blend",
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            parser=parse_layer_names,
            metavar="LAYERS",
            help="Layers at which images are blended: all, coarse, middle, fine, numbers of w (0-3,5), 'to 32px', "
            "'from 64px', 'at 16px', or names (b16_conv1).",
        ),
    ] = "all",
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="LIST", help="A class for each image, by number or name: summer,winter."),
    ] = None,
    *,
    draw: PlainDrawOptions,
    seed: NoiseSeedOption = 0,
    run: RunOptions,
) -> None:
    """Blend two or more images into one: side by side, by shapes, or by mask images.

    The first image is under all others. At every layer their features are mixed, so there is nothing to join.
    """
    given, labels = Given(context), _classes(classes, len(seeds))
    given.refuse("direction", "overlap", "blend_ramp", when=bool(shape), because="--shape says where each image shows")
    given.refuse("overlap", when=blend_ramp == "soat", because="--blend soat has its own width, half of the image")
    given.refuse("seed", when=draw.noise != "random", because="it is the seed of --noise random")
    given.refuse("label", when=bool(labels), because="--classes gives each image its own")
    own_layers = bool(shape) and all(parse_placed(text).layers for text in shape or ())
    given.refuse("layers", when=own_layers, because="every --shape has layers of its own")
    _check_count(len(seeds))
    from sgkit.runtime.files import check_new

    check_new(out, overwrite=run.force)
    from sgkit.render.blend import BlendSettings, blend_file

    on = open_drawing(model, seeds, given, draw, device=run.device, precision=run.precision)
    settings = BlendSettings(
        shapes=tuple(shape or ()),
        direction=direction,
        overlap=overlap,
        blend=blend_ramp,
        mode=mode,
        layers=layers,
        noise_seed=seed,
        labels=labels,
    )
    result = blend_file(on, seeds, out, settings, overwrite=run.force)
    report.emit(result, json=run.json, show=_show)


def _check_count(count: int) -> None:
    # A latent file may hold several images, which is known when it is read.
    if count == 0:
        raise UsageError("A blend needs two images or more. Give seeds, such as --seeds 0,1.")


def _classes(text: str | None, count: int) -> tuple[int | str, ...]:
    words = [word.strip() for word in (text or "").split(",")] if text else []
    if words and len(words) < count:
        raise UsageError(f"--classes names {len(words)} classes for {count} images; give one for each.")
    return tuple(int(word) if word.isdigit() else word for word in words)


def _show(result: BlendResult) -> None:
    size = f"{result.width}x{result.height}, {len(result.images)} images"
    report.out(f"{size} in {result.file} ({report.duration(result.seconds)})")
