"""``sgkit mix``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

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
from sgkit.cli.options import Layers, ModelArgument, RunOptions, parse_layers
from sgkit.errors import did_you_mean

if TYPE_CHECKING:
    from sgkit.render.mix import MixResult

_GROUPS = ("coarse", "middle", "fine")


def _parse(text: str | Layers) -> Any:
    """The name of a group of layers, or numbers.

    Raises:
        typer.BadParameter: it is neither.
    """
    if isinstance(text, str) and re.search(r"[^\W\d_]", text):
        if text.strip().lower() in _GROUPS:
            return text.strip().lower()
        raise typer.BadParameter(
            f"Unknown layers {text!r}. {did_you_mean(text, _GROUPS)} Numbers are allowed, too, for example 0-3,6."
        )
    return parse_layers(text, groups=_GROUPS)


@flatten_options
def mix(
    context: typer.Context,
    model: ModelArgument,
    out: PictureOption,
    rows: Annotated[
        Sources,
        typer.Option(
            "--rows", parser=parse_sources, metavar="LIST", help="Seeds and latent files, for example 0-3,a.npz."
        ),
    ],
    cols: Annotated[
        Sources,
        typer.Option(
            "--cols", parser=parse_sources, metavar="LIST", help="Seeds and latent files, for example 4-8,b.npz."
        ),
    ],
    layers: Annotated[
        Any,
        typer.Option(
            "--layers",
            parser=_parse,
            metavar="coarse|middle|fine|LIST",
            help="Layers of w+ taken from the columns: coarse (0-3), middle (4-7), fine (8 and up), or numbers such as "
            "0-3,6.",
        ),
    ] = "coarse",
    *,
    draw: PlainDrawOptions,
    gap: GapOption = 2,
    batch: BatchOption = 8,
    run: RunOptions,
) -> None:
    """Mix styles: each row's image with the coarse, middle or fine styles of each column's.

    The grid shows the columns' images at the top and the rows' images on the left. Coarse styles control pose and
    shape, middle styles features, fine styles colours and texture.
    """
    from sgkit.runtime.files import check_new

    check_new(out, overwrite=run.force)
    from sgkit.render.mix import mix as mixed
    from sgkit.render.mix import mix_picture

    sources = [*rows, *cols]
    with report.progress_bar("Mixing") as on_progress:
        on = open_drawing(model, sources, Given(context), draw, device=run.device, precision=run.precision)
        mixture = mixed(on.inputs, rows, cols, on.settings, layers=layers, batch=batch, on_progress=on_progress)
        result = mix_picture(mixture, out, gap=gap, overwrite=run.force)
    report.emit(result, json=run.json, show=_show)


def _show(result: MixResult) -> None:
    layers = ", ".join(map(str, result.layers))
    count = f"{len(result.rows)} x {len(result.cols)} mixtures"
    report.out(f"{count} in {result.path}: layers {layers} from the columns ({report.duration(result.seconds)})")
