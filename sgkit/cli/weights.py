"""``sgkit weights``: the feature networks of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgkit.cli import report
from sgkit.cli.options import JsonOption, parse_existing

if TYPE_CHECKING:
    from sgkit.weights import WeightsStatus

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name that 'sgkit weights list' shows.")]

app = typer.Typer(no_args_is_help=True, help="Weights of third-party networks: list, fetch, add, path, verify.")


@app.command("list")
def list_weights(json: JsonOption = False) -> None:
    """List the weights with licence, metrics and losses that use them, and state in the cache."""
    from sgkit.weights import WEIGHTS, weights_status

    report.emit([weights_status(name) for name in WEIGHTS], json=json, show=_show_all)


@app.command()
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Names that 'sgkit weights list' shows, or the metric or loss that needs them, for example lpips.",
        ),
    ],
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            metavar="URL",
            help="Try this address or folder first. Can be repeated; SGKIT_WEIGHTS_MIRROR does the same.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Download weights into the cache and check them; an interrupted download is resumed."""
    from sgkit.weights import WEIGHTS, fetch_weights, weights_named, weights_status

    wanted: list[str] = []
    for name in names:
        users = [entry.name for entry in WEIGHTS.values() if name in entry.used_by]
        wanted += [name] if name in WEIGHTS or not users else users
    for weights in [weights_named(name) for name in wanted]:
        report.note(f"{weights.file_name} is published by {weights.homepage} under the licence {weights.licence}.")
        with report.progress_bar("Weights") as on_progress:
            fetch_weights(weights.name, mirrors=mirror or (), on_progress=on_progress)
    report.emit([weights_status(name) for name in wanted], json=json, show=_show_paths)


@app.command()
def add(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", parser=parse_existing, help="Weights files, downloaded by hand."),
    ],
    json: JsonOption = False,
) -> None:
    """Copy files that were downloaded elsewhere into the cache; the SHA-256 says which weights they are."""
    from sgkit.weights import add_weights

    report.emit([add_weights(file) for file in files], json=json, show=_show_paths)


@app.command()
def path(name: NameArgument) -> None:
    """Print the cache path of the file."""
    from sgkit.weights import weights_path

    report.out(str(weights_path(name)))


@app.command()
def verify(json: JsonOption = False) -> None:
    """Check every file in the cache; exit code 1 if one is damaged."""
    from sgkit.errors import WeightsError
    from sgkit.weights import WEIGHTS, weights_status

    found = [weights_status(name) for name in WEIGHTS]
    report.emit(found, json=json, show=_show_all)
    damaged = [status for status in found if status.state == "damaged"]
    if damaged:
        raise WeightsError(
            f"{damaged[0].path} is damaged: its sha256 is {damaged[0].sha256}, expected {damaged[0].weights.sha256}. "
            f"Remove it, then run 'sgkit weights fetch {damaged[0].weights.name}'."
        )


def _show_paths(found: list[WeightsStatus]) -> None:
    for status in found:
        report.out(str(status.path))


def _show_all(found: list[WeightsStatus]) -> None:
    rows = [
        (
            status.weights.name,
            ", ".join(status.weights.used_by),
            status.weights.licence,
            status.state,
            f"{status.size / 1e6:.1f} MB" if status.size is not None else None,
        )
        for status in found
    ]
    report.table(("name", "used by", "licence", "state", "size"), rows)
    report.out("")
    report.facts({status.weights.name: str(status.path) for status in found})
