"""``sgkit mix``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.drawing import (
    BatchOption,
    CutoffOption,
    GapOption,
    LatentSpaceOption,
    NoiseOption,
    PictureOption,
    PsiOption,
    Sources,
    open_drawing,
    parse_sources,
)
from sgkit.cli.options import (
    DEFAULT_PSI,
    DeviceOption,
    ForceOption,
    Given,
    JsonOption,
    LabelOption,
    Layers,
    ModelArgument,
    PrecisionOption,
    parse_layers,
)
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
    psi: PsiOption = DEFAULT_PSI,
    psi_cutoff: CutoffOption = None,
    label: LabelOption = None,
    noise: NoiseOption = "const",
    latent_space: LatentSpaceOption = "auto",
    gap: GapOption = 2,
    batch: BatchOption = 8,
    precision: PrecisionOption = "auto",
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Mix styles: each row's image with the coarse, middle or fine styles of each column's.

    The grid shows the columns' images at the top and the rows' images on the left. Coarse styles control pose and
    shape, middle styles features, fine styles colours and texture.
    """
    from sgkit.runtime.files import check_new

    check_new(out, overwrite=force)
    from sgkit.render.mix import mix as run
    from sgkit.render.mix import mix_picture

    sources = [*rows, *cols]
    with report.progress_bar("Mixing") as on_progress:
        on = open_drawing(
            model,
            device,
            sources,
            Given(context),
            psi=psi,
            cutoff=psi_cutoff,
            label=label,
            noise=noise,
            precision=precision,
            latent_space=latent_space,
        )
        mixture = run(on.inputs, rows, cols, on.settings, layers=layers, batch=batch, on_progress=on_progress)
        result = mix_picture(mixture, out, gap=gap, overwrite=force)
    report.emit(result, json=json, show=_show)


def _show(result: MixResult) -> None:
    layers = ", ".join(map(str, result.layers))
    count = f"{len(result.rows)} x {len(result.cols)} mixtures"
    report.out(f"{count} in {result.path}: layers {layers} from the columns ({report.duration(result.seconds)})")
