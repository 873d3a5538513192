"""``sgkit prepare``: options -> task -> report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.options import JsonOption, Size, parse_size

if TYPE_CHECKING:
    from sgkit.tasks.prepare import PrepareResult

__all__ = ["prepare"]


def prepare(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Folder, archive, list, or sample:landscapes?count=1000.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="STORE", help="Folder of the store to make.")],
    size: Annotated[
        Size, typer.Option("--size", parser=parse_size, metavar="SIZE", help="Side of a square, or WIDTHxHEIGHT.")
    ],
    crop: Annotated[str, typer.Option("--crop", metavar="CROP", help="center or none (stretched).")] = "center",
    filter_name: Annotated[
        str, typer.Option("--filter", metavar="NAME", help="lanczos, box, bicubic or bilinear; it changes FID.")
    ] = "lanczos",
    channels: Annotated[int, typer.Option("--channels", help="1 grey, 3 RGB, 4 RGBA.")] = 3,
    labels: Annotated[str, typer.Option("--labels", metavar="FROM", help="auto, none or folders.")] = "auto",
    encoding: Annotated[str, typer.Option("--encoding", metavar="NAME", help="png, webp, jpeg or raw.")] = "png",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="Look at the first N files only.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes that decode and encode; all cores.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Turn folders and archives of images into a store for training; run again, it goes on where it stopped."""
    from sgkit.tasks.prepare import PrepareOptions
    from sgkit.tasks.prepare import prepare as run

    options = PrepareOptions.from_dict(
        {
            "size": tuple(size),
            "crop": crop,
            "filter": filter_name,
            "channels": channels,
            "labels": labels,
            "encoding": encoding,
            "limit": limit,
        }
    )
    with report.progress_bar("Preparing") as on_progress:
        result = run(sources, out, options=options, workers=workers, on_progress=on_progress)
    report.emit(result, json=json, show=_show)


def _show(result: PrepareResult) -> None:
    header = result.header
    report.facts(
        {
            "store": result.path,
            "images": f"{header.num_images:,} of {header.image_size[1]}x{header.image_size[0]}x{header.image_channels}",
            "labels": f"{header.labels.kind} ({header.labels.dim})" if header.labels.dim else "none",
            "left out": f"{header.num_skipped:,}" + (f", see {result.path / 'report.jsonl'}" if header.skipped else ""),
            "time": report.duration(result.seconds),
        }
    )
    if header.skipped:
        report.table(("reason", "files"), list(header.skipped.items()), title="Left out")
