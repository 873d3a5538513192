"""What stands at the places of a grid: from a text file, or painted as a small image. Nothing here loads torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sgkit.errors import InputError, UsageError
from sgkit.render.grid import MOST_CELLS
from sgkit.runtime.limits import read_file
from sgkit.runtime.path_checks import check_exists, latent_files

FURTHEST = 48
"""Distance of a pixel's colour from a legend's, in RGB, up to which it is that colour: editors soften edges."""
HIGHEST_SEED = 2**32 - 1
_HOW = "Write a seed (12), a latent file or a projection's folder (face.npz), and @CLASS after it where wanted."


class Choice(NamedTuple):
    """What a place shows."""

    source: int | Path | None = None
    """A seed or a latent file; ``None``: whatever the place has otherwise."""
    label: str | None = None
    """Class number or name; ``None``: as for all."""


Rows = Sequence[Sequence[Choice]]
"""What every place shows, row by row; all rows are equally long."""


@dataclass(frozen=True, kw_only=True)
class Painting:
    """A small image that chooses what is under its pixels."""

    columns: int
    rows: int
    of: tuple[int, ...]
    """Row by row: which of the choices."""
    choices: tuple[Choice, ...]


def read_places(path: str | Path) -> Rows:
    """The sources that a text file names: a line for each row, entries separated by commas or tabs.

    Files are looked for relative to the text file. Empty lines, and what follows a ``#``, are left out.

    Raises:
        InputError: the file cannot be read, an entry is not a source, or rows differ in length; the line is named.
    """
    path = Path(path)
    check_exists(path, "list of places", f"Give a text file with one line for each row. {_HOW}")
    text = read_file(path, kind="configuration").decode("utf-8", "replace")
    rows: list[list[Choice]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        entries = [entry.strip() for entry in re.split(r"[,\t]", line.partition("#")[0])]
        if not any(entries):
            continue
        rows.append([_choice(entry, path.parent, f"{path}, line {number}") for entry in entries])
        if len(rows[-1]) != len(rows[0]):
            raise InputError(
                f"{path}, line {number}: {len(rows[-1])} places, but the first row has {len(rows[0])}. Give every row "
                "the same number of entries, separated by commas."
            )
    if not rows:
        raise InputError(f"{path} names no places. Write one line for each row, for example: 0,3,7. {_HOW}")
    return rows


def _choice(entry: str, folder: Path, where: str) -> Choice:
    source, _, label = entry.partition("@")
    source, found = source.strip(), label.strip() or None
    if re.fullmatch(r"\d{1,10}", source) and int(source) <= HIGHEST_SEED:
        return Choice(int(source), found)
    if not source:
        raise InputError(f"{where}: the entry {entry!r} names no source. {_HOW}")
    if not (folder / source).exists():
        raise InputError(f"{where}: unknown source {source!r}: not a seed from 0 to {HIGHEST_SEED}, nor a file. {_HOW}")
    try:
        files = latent_files(folder / source)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if len(files) != 1:
        raise InputError(f"{where}: {source!r} holds {len(files)} latent files; a place takes one. Name one of them.")
    return Choice(files[0], found)


def parse_legend(text: str) -> dict[tuple[int, int, int], Choice]:
    """Colours and what they choose: ``#ffffff=winter-day,green=summer-day,red=seed:12,blue=face.npz``.

    Raises:
        UsageError: an entry is not of this form.
    """
    from PIL import ImageColor

    found: dict[tuple[int, int, int], Choice] = {}
    for entry in text.split(","):
        name, equals, value = (part.strip() for part in entry.partition("="))
        try:
            colour = ImageColor.getrgb(name)[:3]
        except ValueError:
            colour = None
        if colour is None or not equals or not value:
            raise UsageError(
                f"Not a legend: {entry.strip()!r}. Write COLOUR=CHOICE, separated by commas: a colour such as #ff8800 "
                "or green, and a class, seed:12, or a latent file."
            )
        found[(colour[0], colour[1], colour[2])] = _chosen(value)
    return found


def _chosen(value: str) -> Choice:
    kind, colon, number = value.partition(":")
    if colon and kind == "seed":
        if not (number.isdigit() and int(number) <= HIGHEST_SEED):
            raise UsageError(f"Not a seed in the legend: {number!r}. Use a number from 0 to {HIGHEST_SEED}.")
        return Choice(source=int(number))
    if re.search(r"[./\\]", value) or Path(value).exists():
        files = latent_files(value)
        if len(files) != 1:
            raise UsageError(f"{value} holds {len(files)} latent files; a colour of the legend takes one.")
        return Choice(source=files[0])
    return Choice(label=value)


def read_painting(path: str | Path, legend: Mapping[tuple[int, int, int], Choice]) -> Painting:
    """The image file ``path`` as choices of its legend.

    Raises:
        InputError: it is not an image, or too large.
        UsageError: it has a colour that the legend does not name.
    """
    import numpy as np

    from sgkit.store.bad_images import BadImageError
    from sgkit.store.images.decoding import decode_image, open_picture

    found = check_exists(path, "map", "Give a small image whose colours the legend names, for example a PNG.")
    try:
        image = open_picture(read_file(found.path, kind="image"), max_pixels=MOST_CELLS)
        pixels = np.asarray(decode_image(image, channels=3)).astype(np.int64)
    except BadImageError as error:
        raise InputError(
            f"{path} is not usable as a map: {error}. Give a small image (PNG) of at most {MOST_CELLS:,} pixels, such "
            "as 256x256."
        ) from None
    colours = np.array(list(legend), dtype=np.int64)
    distances = ((pixels[:, :, None] - colours) ** 2).sum(axis=3)
    far = np.argwhere(distances.min(axis=2) > FURTHEST**2)
    if len(far):
        row, column = (int(value) for value in far[0])
        colour, *known = (f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (pixels[row, column], *legend))
        raise UsageError(
            f"The pixel at ({column}, {row}) of {path} is {colour}, which the legend does not name. It names "
            f"{', '.join(known)}. Add {colour}=CHOICE to --legend, or repaint the pixel."
        )
    return Painting(
        columns=pixels.shape[1],
        rows=pixels.shape[0],
        of=tuple(int(index) for index in distances.argmin(axis=2).reshape(-1)),
        choices=tuple(legend.values()),
    )
