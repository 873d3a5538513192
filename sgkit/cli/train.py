"""``sgkit train``: options -> configuration -> task -> report."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.options import ConfigOption, DeviceOption, JsonOption, SetOption, overrides
from sgkit.config import Precision

if TYPE_CHECKING:
    from sgkit.tasks.train import TrainResult

__all__ = ["train"]


def train(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Images, as 'sgkit prepare' makes them.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Folder of the run: snapshots, pictures, log.")],
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="Model and recipe to begin with, such as stylegan2-32."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run from its last snapshot.")] = False,
    kimg: Annotated[
        float | None, typer.Option("--kimg", metavar="N", help="Train until so many thousand images were shown.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", help="Images per step, over all processes.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Seed of everything random.")] = None,
    mirror: Annotated[
        bool | None,
        typer.Option("--mirror/--no-mirror", help="Flip half of the images left to right.", show_default=False),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option("--precision", help="Number format; auto is bf16 where the device is fast in it."),
    ] = None,
    device: DeviceOption = "auto",
    config: ConfigOption = None,
    settings: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Train a generator on a store of images; Ctrl-C or SIGTERM saves first, and --resume goes on."""
    given = {"total_kimg": kimg, "batch": batch, "seed": seed, "mirror": mirror, "precision": precision}
    changes: dict[str, Any] = overrides(config, settings or [])
    changes |= {f"train.{key}": value for key, value in given.items() if value is not None}
    with report.progress_bar("Training") as on_progress, _stop_requests() as should_stop:
        from sgkit.tasks.train import train as run

        result = run(
            store,
            out,
            preset=preset,
            settings=changes,
            resume=resume,
            device=device,
            should_stop=should_stop,
            on_progress=on_progress,
        )
    report.emit(result, json=json, show=_show)
    if result.stopped_by is not None:
        report.note(
            f"Stopped by {result.stopped_by} after saving. Go on with: sgkit train {store} --out {out} --resume"
        )
        raise typer.Exit(
            128 + signal.Signals[result.stopped_by].value if result.stopped_by in signal.Signals.__members__ else 1
        )


def _show(result: TrainResult) -> None:
    report.facts(
        {
            "trained": f"{result.kimg:g} of {result.total_kimg:g} kimg",
            "model": result.snapshot / "model.safetensors",
            "pictures": result.run / "images",
            "log": result.run / "log.jsonl",
        }
    )


@contextmanager
def _stop_requests() -> Iterator[Callable[[], str | None]]:
    """A function that names the signal that asked this process to stop; asked twice, a signal acts at once."""
    asked: list[str] = []
    parent = os.getpid()

    def note(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        if os.getpid() == parent:  # processes that decode images are forked with this handler
            asked.append(signal.Signals(number).name)
            report.note(f"{asked[-1]}: saving a snapshot after this step. Send it again to stop without.")

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: asked[-1] if asked else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
