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

app = typer.Typer(no_args_is_help=True, help="Weights of third-party networks: list, get, path, verify.")


@app.command("list")
def list_weights(json: JsonOption = False) -> None:
    """List the weights with licence, metrics that use them, and state in the cache."""
    from sgkit.weights import WEIGHTS, weights_status

    report.emit([weights_status(name) for name in WEIGHTS], json=json, show=_show_all)


@app.command()
def get(
    name: NameArgument,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", parser=parse_existing, help="Import this file instead of downloading it."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Download weights into the cache, or import them from a file, and check them."""
    from sgkit.weights import fetch_weights, import_weights, weights_named, weights_status

    weights = weights_named(name)
    report.note(f"{weights.file_name} is published by {weights.homepage} under the licence {weights.licence}.")
    if file is not None:
        import_weights(name, file)
    else:
        with report.progress_bar("Weights") as on_progress:
            fetch_weights(name, on_progress=on_progress)
    report.emit(weights_status(name), json=json, show=lambda status: report.out(str(status.path)))


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
            f"Remove it, then run 'sgkit weights get {damaged[0].weights.name}'."
        )


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
