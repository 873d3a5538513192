"""``sgkit mix``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.drawing import (
    DEFAULT_PSI,
    BatchOption,
    CutoffOption,
    GapOption,
    NoiseOption,
    PsiOption,
    Sources,
    check_model_hashes,
    draw_settings,
    parse_sources,
)
from sgkit.cli.options import (
    DeviceOption,
    JsonOption,
    LabelOption,
    Layers,
    ModelArgument,
    PrecisionOption,
    parse_layers,
)
from sgkit.errors import UsageError

__all__ = ["mix"]

_GROUPS = ("coarse", "middle", "fine")


def _parse(text: str | Layers) -> str | Layers:
    """The name of a group of layers, or numbers."""
    return text if text in _GROUPS else parse_layers(text)


def mix(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="The picture to write.")],
    rows: Annotated[
        Sources, typer.Option("--rows", parser=parse_sources, metavar="LIST", help="Seeds and latent files: 0-3,a.npz.")
    ],
    cols: Annotated[
        Sources, typer.Option("--cols", parser=parse_sources, metavar="LIST", help="Seeds and latent files: 4-8,b.npz.")
    ],
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            metavar="coarse|middle|fine|LIST",
            help="What the columns give: layers 0-3, 4-7, 8 and up, or numbers such as 0-3,6.",
        ),
    ] = "coarse",
    psi: PsiOption = DEFAULT_PSI,
    psi_cutoff: CutoffOption = None,
    label: LabelOption = None,
    noise: NoiseOption = "const",
    gap: GapOption = 2,
    batch: BatchOption = 8,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Mix styles: every row's picture with the coarse, middle or fine styles of every column's.

    The grid has the columns' pictures at the top and the rows' on the left. Coarse styles carry pose and shape, middle
    ones features, fine ones colours and texture.
    """
    import sgkit
    from sgkit.runtime.device import resolve_device
    from sgkit.tasks.mix import mix as run
    from sgkit.tasks.mix import mix_picture

    if out.suffix.lower() != ".png":
        raise UsageError(f"The mixture is written as PNG. Give --out {out.with_suffix('.png')}.")
    numbers = _parse(layers)
    sources = [*rows, *cols]
    with report.progress_bar("Mixing") as on_progress:
        opened = sgkit.load(model, device=resolve_device(device))
        check_model_hashes(opened, sources)
        settings = draw_settings(
            opened, sources, psi=psi, cutoff=psi_cutoff, label=label, noise=noise, precision=precision
        )
        mixture = run(opened, rows, cols, settings, layers=numbers, batch=batch, on_progress=on_progress)
        mix_picture(mixture, out, gap=gap)
    facts = {
        "path": out,
        "rows": mixture.row_names,
        "cols": mixture.col_names,
        "layers": mixture.layers,
        "seconds": mixture.seconds,
    }
    report.emit(facts, json=json, show=_show)


def _show(facts: Mapping[str, Any]) -> None:
    layers = ", ".join(map(str, facts["layers"]))
    count = f"{len(facts['rows'])} x {len(facts['cols'])} mixtures"
    report.out(f"{count} in {facts['path']}: layers {layers} from the columns ({report.duration(facts['seconds'])})")
