"""``sgkit data``: look into stores, check, export, merge and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.given import Given
from sgkit.cli.options import ForceOption, JsonOption, parse_store

if TYPE_CHECKING:
    from sgkit.tasks.data import Diff, StoreInfo, VerifyResult

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Inspect stores: check, export, merge and compare them."
)

_Store = Annotated[Path, typer.Argument(metavar="STORE", parser=parse_store, help="A store made by 'sgkit prepare'.")]
MOST_ROWS = 30


@app.command()
def info(
    context: typer.Context,
    store: _Store,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", metavar="FOLDER", help="Write a contact sheet and the mean image here.")
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Counts, sizes, labels, disk use; with --pictures, a contact sheet and the mean image."""
    Given(context).refuse("force", when=pictures is None, because="nothing is written without --pictures")
    with report.progress_bar("Reading") as on_progress:
        from sgkit.tasks import data

        result = data.info(store, pictures=pictures, overwrite=force, on_progress=on_progress)
    report.emit(result, json=json, show=_show_info)


@app.command()
def verify(store: _Store, json: JsonOption = False) -> None:
    """Decode and check every record; exit code 1 when something is wrong."""
    with report.progress_bar("Verifying") as on_progress:
        from sgkit.tasks import data

        result = data.verify(store, on_progress=on_progress)
    report.emit(result, json=json, show=_show_verify)
    if not result.ok:
        raise typer.Exit(1)


@app.command()
def export(
    store: _Store,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER|FILE.zip", help="Folder or .zip file to make.")],
    form: Annotated[
        str,
        typer.Option("--form", metavar="FORM", help="folder, nvidia (zip with dataset.json), or rosinality (LMDB)."),
    ] = "folder",
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write the images as files, or in the dataset format of another tool."""
    with report.progress_bar("Exporting") as on_progress:
        from sgkit.tasks import data

        result = data.export(store, out, form=form, overwrite=force, on_progress=on_progress)
    facts = {"written": result.path, "form": result.form, "images": f"{result.num_images:,}"}
    report.emit(result, json=json, show=lambda _: report.facts(facts))


@app.command()
def merge(
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE", parser=parse_store, help="Stores with images of the same size."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="STORE", help="Folder of the store to make.")],
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Make one store of several; records are copied as they are, classes joined by name."""
    with report.progress_bar("Merging") as on_progress:
        from sgkit.tasks import data

        result = data.merge(stores, out, overwrite=force, on_progress=on_progress)
    facts = {"store": out, "images": f"{result.num_images:,}", "labels": result.labels.dim or "none"}
    report.emit(result, json=json, show=lambda _: report.facts(facts))


@app.command()
def diff(
    first: _Store,
    second: Annotated[Path, typer.Argument(metavar="OTHER", parser=parse_store, help="The store to compare with.")],
    json: JsonOption = False,
) -> None:
    """Compare two stores image by image; exit code 1 when they differ."""
    from sgkit.tasks import data

    result = data.diff(first, second)
    report.emit(result, json=json, show=_show_diff)
    if not result.same:
        raise typer.Exit(1)


def _show_info(result: StoreInfo) -> None:
    from sgkit.cli.prepare import show_labels
    from sgkit.store.overview import counted, image_facts, label_facts

    header, counts = result.header, list(result.classes.values())
    report.facts(
        {
            "store": result.path,
            "images": image_facts(header),
            "sizes": " ".join(f"{width}x{height}" for height, width in header.sizes),
            "encoding": header.encoding,
            "filter, crop": f"{header.filter}, {header.crop}",
            "labels": label_facts(header.labels, counts),
            "adjusted": counted(header.changed),
            "duplicates": f"{header.repeated:,}",
            "parts": len(header.parts),
            "disk": f"{result.bytes_on_disk / 2**20:,.1f} MiB (images: {result.bytes_of_images / 2**20:,.1f} MiB)",
            "mean colour": " ".join(f"{value:.1f}" for value in result.mean_colour),
            "skipped": counted(header.skipped),
            "other files": counted(header.unused),
            "content": header.content_hash,
            **result.pictures,
        }
    )
    report.table(
        ("source", "kind", "files", "images", "skipped"),
        [(s.given, s.kind, s.num_items, s.num_images, s.num_skipped) for s in header.sources],
        title="Sources",
    )
    show_labels(header.labels, counts)
    if result.label_means:
        means = [(name, round(value, 4)) for name, value in result.label_means.items()]
        report.table(("label", "mean"), means[:MOST_ROWS], title=f"Labels ({len(means)})")
    for text in header.notes:
        report.note(text)


def _show_verify(result: VerifyResult) -> None:
    if result.ok:
        report.out(f"All {result.num_images:,} images are intact.")
        return
    rows = [(problem.index, problem.name, problem.problem) for problem in result.problems[:MOST_ROWS]]
    report.table(("image", "name", "problem"), rows, title=f"{len(result.problems):,} of {result.num_images:,} images")
    if not result.content_hash_ok:
        report.out("The content hash in the header does not match the images: some were lost, added or moved.")


def _plainly(value: object) -> object:
    """A field of a header in words."""
    from sgkit.store.header import LabelSchema, size_text

    if isinstance(value, LabelSchema):
        return f"{value.kind} ({', '.join(value.names)})" if value.names else value.kind
    return size_text(value) if isinstance(value, tuple) and len(value) == 2 else value


def _show_diff(result: Diff) -> None:
    report.facts(
        {
            "same images": f"{result.num_same:,}",
            "only in the first": f"{len(result.only_in_first):,}",
            "only in the second": f"{len(result.only_in_second):,}",
            "different labels": f"{result.num_labels_differ:,}",
            "same order": "yes" if result.same_order else "no",
        }
    )
    for name, (one, other) in result.settings.items():
        report.facts({name: f"{_plainly(one)} / {_plainly(other)}"})
    names = [(name, "first") for name in result.only_in_first] + [(name, "second") for name in result.only_in_second]
    if names:
        report.table(("image", "only in"), names[:MOST_ROWS])
