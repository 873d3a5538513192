"""``sgkit classifier``: classifiers of images, for linear separability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import FixedRunOptions, SeedOption, parse_existing, parse_store
from sgkit.config.metrics import metric_named
from sgkit.errors import UsageError
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.measure.classifying import ClassifierResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Train classifiers of images on the labels of a store, for the metric ls (linear separability).",
)


@app.callback()
def _group() -> None:
    """Keep ``train`` a subcommand while it is the only one."""


def parse_classifier(text: str | Path) -> Path:
    """A file with a classifier of images."""
    from sgkit.runtime.path_checks import check_classifier

    return check_classifier(text)


def check_classifier_option(names: Sequence[str], classifier: Path | None, given: Given) -> None:
    """Refuse linear separability without a classifier, and a classifier without it."""
    needing = [name for name in names if metric_named(name).method == "linear_separability"]
    if needing and classifier is None:
        raise UsageError(
            f"{needing[0]} needs a classifier of images: --classifier FILE. Train one on a store with labels: sgkit "
            "classifier train STORE --out FILE"
        )
    given.refuse("classifier", when=not needing, because="only the metric ls uses one")


@app.command()
@flatten_options
def train(
    store: Annotated[Path, typer.Argument(metavar="STORE", parser=parse_store, help="A store of images with labels.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The classifier to write; it must be named .safetensors.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            parser=parse_existing,
            help="A table of labels (CSV, JSON) whose rows are named like the images.",
            show_default="the store's labels",
        ),
    ] = None,
    attributes: Annotated[
        str,
        typer.Option(
            "--attributes",
            metavar="NAMES",
            help="Names of the parts of class names such as 4.1, for example age,sex; or which columns to use.",
            show_default="all",
        ),
    ] = "",
    network: Annotated[
        str, typer.Option("--network", metavar="NAME", help="Feature network: effnet or inception.")
    ] = "effnet",
    num_images: Annotated[
        int | None,
        typer.Option("--num-images", min=20, metavar="N", help="Number of images to use.", show_default="all"),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Images per batch.")] = 32,
    seed: SeedOption = 0,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep features, so that an interrupted call can continue.")
    ] = True,
    *,
    run: FixedRunOptions,
) -> None:
    """Train a classifier of the attributes of a labelled store, in minutes, and report its accuracy on held-out images.

    Class names of several parts, such as 4.1 for a decade of age and a sex, are several attributes. Interrupt it at any
    time; the same command continues.
    """
    from sgkit.runtime.files import check_new

    if out.suffix != ".safetensors":
        raise UsageError(f"Unsupported extension {out.suffix or 'of ' + out.name!r}. Use .safetensors for --out.")
    check_new(out, overwrite=run.force)
    from sgkit.measure.classifying import train_classifier
    from sgkit.runtime.device import resolve_device

    with report.progress_bar("Training the classifier") as on_progress:
        _, result = train_classifier(
            store,
            out,
            labels=labels,
            attributes=[name.strip() for name in attributes.split(",") if name.strip()],
            network=network,
            num_images=num_images,
            batch=batch,
            seed=seed,
            device=resolve_device(run.device),
            cache=cache,
            on_progress=on_progress,
        )
    report.emit(result, json=run.json, show=_show)


def _show(result: ClassifierResult) -> None:
    rows = [
        (
            head.name,
            len(head.classes),
            round(head.accuracy, 4),
            round(head.chance, 4),
            head.num_images,
            head.num_held_out,
        )
        for head in result.heads
    ]
    report.table(("attribute", "classes", "accuracy", "guessing", "images", "held out"), rows)
    report.out(f"{len(result.heads)} attributes of {result.num_images:,} images in {result.path}")
    report.note(f"Use it: sgkit metrics MODEL --metrics ls --classifier {shell_word(str(result.path))}")
