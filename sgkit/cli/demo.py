"""``sgkit demo``: runs the other commands one after another and shows on a page what they made."""

from __future__ import annotations

import io
import json as jsons
import os
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.app import load_command
from sgkit.cli.options import JsonOption

if TYPE_CHECKING:
    from sgkit.tasks.demo import DemoResult


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Output folder; open index.html in it.")] = Path(
        "demo"
    ),
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes",
            min=0.5,
            max=600.0,
            metavar="N",
            help="About how long it takes while nothing else is running; more time means more training.",
        ),
    ] = 2.0,
    json: JsonOption = False,
) -> None:
    """Run every step with the packaged model (about two minutes) and show the results on one page.

    Generates, truncates, mixes, interpolates, goes through a year and a day, makes a panorama, projects, continues
    training on new pictures, and measures. If it is stopped, the same command continues.
    """
    # Before torch is loaded: threads that wait sleep, instead of taking time from each other when other programs run.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sgkit.tasks.demo import run_demo

    result = run_demo(out, minutes=minutes, run=run_command, tell=report.note)
    report.emit(result, json=json, show=_show)


def _show(result: DemoResult) -> None:
    report.out(f"Done in {report.duration(result.seconds)}. Open {result.page} in a browser.")


def run_command(argv: list[str]) -> Any:
    """Run ``sgkit`` with these arguments; what it reports with ``--json``.

    Raises:
        SgkitError: what the command raises.
        KeyboardInterrupt: it was stopped.
    """
    output = io.StringIO()
    with redirect_stdout(output):
        code = load_command(argv[0]).main([*argv[1:], "--json"], prog_name=f"sgkit {argv[0]}", standalone_mode=False)
    if isinstance(code, int) and code != 0:
        raise KeyboardInterrupt
    return jsons.loads(output.getvalue())
