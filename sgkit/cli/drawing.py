"""Options of the commands that draw pictures from seeds and latent files, and what they are turned into."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli import report
from sgkit.cli.options import parse_seeds, parse_size
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.checkpoint.origins import DrawSettings
    from sgkit.config import Precision
    from sgkit.model import Model

__all__ = [
    "DEFAULT_PSI",
    "BatchOption",
    "CutoffOption",
    "GapOption",
    "Grid",
    "GridOption",
    "NoiseOption",
    "Psi",
    "PsiOption",
    "Sources",
    "check_model_hashes",
    "draw_settings",
    "parse_grid",
    "parse_psi",
    "parse_sources",
]


class Psi(tuple[float, ...]):
    """Truncation psi: one number, or one for each w of w+."""

    __slots__ = ()


DEFAULT_PSI = Psi((1.0,))


class Grid(tuple[int, int]):
    """Columns and rows of a grid, written ``COLUMNSxROWS``."""

    __slots__ = ()


class Sources(tuple["int | Path", ...]):
    """Seeds and latent files in the order given."""

    __slots__ = ()


def parse_psi(text: str | Psi) -> Psi:
    """Truncation psi from ``0.7``, or one for each layer from ``1,1,0.7,0.5``.

    Raises:
        typer.BadParameter: the text is no such list.
    """
    if isinstance(text, Psi):
        return text
    try:
        return Psi(float(word) for word in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no truncation psi. Give one number (0.7), or one for each layer of w+ (1,1,0.7,0.5)."
        ) from None


def parse_grid(text: str | Grid) -> Grid:
    """Columns and rows from ``4x3``.

    Raises:
        typer.BadParameter: the text is no such shape.
    """
    if isinstance(text, Grid):
        return text
    try:
        size = parse_size(text)
    except typer.BadParameter:
        raise typer.BadParameter(f"{text!r} is no grid. Give COLUMNSxROWS (4x3).") from None
    return Grid((size.width, size.height))


def parse_sources(text: str | Sources) -> Sources:
    """Seeds and latent files from ``0,3,7-12,face.npz``, in that order.

    Raises:
        typer.BadParameter: a word is neither a list of seeds nor the name of an ``.npz`` file.
    """
    if isinstance(text, Sources):
        return text
    found: list[int | Path] = []
    for word in (part.strip() for part in text.split(",")):
        if word.lower().endswith(".npz"):
            found.append(Path(word))
        elif re.fullmatch(r"[\d\s-]+", word):
            found.extend(parse_seeds(word))
        else:
            raise typer.BadParameter(
                f"{word!r} is neither a seed, a range of seeds, nor a latent file (.npz). Write them such as "
                "0,3,7-12,face.npz."
            )
    return Sources(found)


PsiOption = Annotated[
    Psi,
    typer.Option(
        "--psi",
        parser=parse_psi,
        metavar="PSI",
        help="Truncation: 1 keeps variety, 0.5 to 0.8 gives better, more alike pictures. One number, or one per layer.",
    ),
]
CutoffOption = Annotated[
    int | None,
    typer.Option("--psi-cutoff", min=0, metavar="N", help="Truncate only the first N layers of w+."),
]
NoiseOption = Annotated[
    Literal["const", "random", "none"],
    typer.Option("--noise", help="const: the model's own; random: other for each seed; none: without."),
]
GridOption = Annotated[
    Grid | None,
    typer.Option("--grid", parser=parse_grid, metavar="COLSxROWS", help="Shape of the grid, such as 4x3."),
]
GapOption = Annotated[int, typer.Option("--gap", min=0, metavar="PIXELS", help="Space between the pictures of a grid.")]
BatchOption = Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Pictures drawn at a time.")]


def draw_settings(
    model: Model,
    sources: Iterable[int | Path],
    *,
    psi: Psi,
    cutoff: int | None,
    label: str | None,
    noise: Literal["const", "random", "none"],
    precision: Precision,
) -> DrawSettings:
    """The settings that options stand for, checked against what is drawn.

    Raises:
        UsageError: truncation was asked for, but nothing is truncated: all latents are of w, w+ or s.
    """
    from sgkit.checkpoint.origins import DrawSettings, read_origins
    from sgkit.runtime.precision import resolve_precision

    settings = DrawSettings(
        label=label,
        truncation_psi=psi[0] if len(psi) == 1 else tuple(psi),
        truncation_cutoff=cutoff,
        noise=noise,
        precision=resolve_precision(precision, model.device),
    )
    if settings.truncates and all(origin.space != "z" for origin in read_origins(sources)):
        raise UsageError(
            "--psi truncates seeds and latents of the space z, and none was given: w, w+ and s are drawn as they are. "
            "Leave --psi out."
        )
    return settings


def check_model_hashes(model: Model, sources: Sequence[int | Path]) -> None:
    """Warn of latent files that were written for another model."""
    files = [source for source in sources if isinstance(source, Path)]
    if not files:
        return
    from sgkit.checkpoint.latents import load_latents

    own = model.content_hash()
    for file in files:
        if load_latents(file).model_hash not in (None, own):
            report.warning(f"{file} holds latents of another model; the picture may be quite another.")
