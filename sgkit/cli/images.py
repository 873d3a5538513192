"""Options of the commands that write one image for each source: a folder of them, or one grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.drawing import Sources, parse_sources
from sgkit.errors import InputError, UsageError
from sgkit.runtime.outputs import STILLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sgkit.cli.given import Given
    from sgkit.render.drawing import Drawing
    from sgkit.render.outputs import ImagesResult
    from sgkit.render.scene import Scene

_UNWRITTEN = (".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif")
"""Extensions of images that would otherwise be taken for names of folders."""
OutOption = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FOLDER|FILE",
        help="A folder for separate images, or a .png, .jpg or .webp file for one image or a grid.",
    ),
]
SourcesOption = Annotated[
    Sources,
    typer.Option(
        "--seeds", parser=parse_sources, metavar="LIST", help="Seeds and latent files, for example 0,3,7-12,face.npz."
    ),
]


def check_out(out: Path, given: Given, *, force: bool) -> None:
    """Refuse an output that cannot be written, before anything is loaded.

    Raises:
        UsageError: it has another extension, or options of a grid are given for a folder.
        InputError: the file exists, or is in the place of a folder.
    """
    single, known = out.suffix.lower() in STILLS, ", ".join(STILLS)
    if out.suffix.lower() in _UNWRITTEN:
        raise UsageError(f"Images are written as {known}. Use --out {out.with_suffix('.png')}, or a folder.")
    because = f"--out {out} is a folder of separate files; a grid needs a name that ends in {known}"
    given.refuse("grid", "gap", when=not single, because=because)
    if out.is_file() and not single:
        raise InputError(f"{out} is a file. Give --out the name of a folder, or of a file that ends in {known}.")
    if single:
        from sgkit.runtime.files import check_new

        check_new(out, overwrite=force)


def write(
    title: str,
    on: Drawing,
    scenes: Callable[[], Mapping[str, Scene]],
    out: Path,
    given: Given,
    *,
    grid: tuple[int, int] | None,
    gap: int,
    batch: int,
    force: bool,
) -> ImagesResult:
    """Draw ``scenes`` into ``out``, with a bar called ``title``."""
    from sgkit.render.outputs import write_images

    with report.progress_bar(title) as on_progress:
        found = scenes()
        is_one = len(found) == 1 and grid in (None, (1, 1))
        given.refuse("gap", when=is_one, because="it is the space between images, and there is one only")
        return write_images(
            found, on.inputs, out, shape=grid, gap=gap, batch=batch, overwrite=force, on_progress=on_progress
        )


def show(result: ImagesResult) -> None:
    """Tell what was written."""
    count = len(result.names)
    is_grid = len(result.files) == 1 and count > 1
    where = result.files[0] if count == 1 or is_grid else result.files[0].parent
    images = f"{count} image{'s' * (count != 1)} of {result.width}x{result.height}"
    report.out(f"{images} in {where} ({report.duration(result.seconds)})")
