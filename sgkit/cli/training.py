"""How ``sgkit train`` runs and what it shows: progress, events, the dry run, requests to stop, the result."""

from __future__ import annotations

import os
import signal
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from sgkit.cli import report
from sgkit.cli.options import Size
from sgkit.cli.terminal import RANK
from sgkit.config.sizes import base_size_of
from sgkit.errors import UsageError
from sgkit.runtime.progress import OnProgress, Progress
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.runs import Event, TrainPlan, TrainResult
    from sgkit.tasks.prepare import RunStore

TIME_LIMIT = "the time limit"
NOT_DONE = 75
"""Exit code of a run that saved itself at its time limit and wants to be called again (EX_TEMPFAIL)."""


STORE_NAME = "store"
"""Folder of the prepared images in the folder of a run, as in :mod:`sgkit.runs.folder`, which imports torch."""


def check_source(source: str, run: Path | None, size: Size | None, *, dry_run: bool) -> None:
    """Check that a store can be prepared from the images of ``source``; nothing heavy is imported.

    Raises:
        UsageError: the size is missing; or a dry run or torchrun would have to prepare it.
        ConfigError: no network fits the size.
    """
    if size is not None:
        base_size_of((size.height, size.width))
    if run is not None and (run / STORE_NAME / "header.json").is_file():
        return
    make = _preparing(source, size)
    if size is None:
        raise UsageError(
            f"{source} is not a store: its images must be prepared first. Add the size to train at, for example "
            f"--size 64; or make a store: {make}"
        )
    if dry_run or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        what = "--dry-run writes nothing" if dry_run else "torchrun starts several processes"
        raise UsageError(f"{what}, so it needs a store, and {source} is not one. Make it first: {make}")


def prepared_store(source: str, run: Path, size: Size | None) -> str:
    """The store in the folder of ``run``, made from the images of ``source`` if it is not there yet."""
    with report.progress_bar("Preparing") as on_progress:
        from sgkit.tasks.prepare import store_of_run

        wanted = None if size is None else (size.height, size.width)
        found = store_of_run(source, run / STORE_NAME, size=wanted, on_progress=on_progress)
    if found.is_new:
        _tell_prepared(found, source, _preparing(source, size))
    for text in found.notes:
        report.warning(text)
    return str(found.path)


def _preparing(source: str, size: Size | None) -> str:
    """The command that makes a store of ``source``."""
    side = "64" if size is None else str(size.width) if size.width == size.height else str(size)
    return f"sgkit prepare {shell_word(source)} --out STORE --size {side}"


def _tell_prepared(found: RunStore, source: str, make: str) -> None:
    from sgkit.store.header import size_text
    from sgkit.store.overview import counted

    header = found.header
    left_out = f"; left out: {counted(header.skipped)}" if header.skipped else ""
    size = size_text(header.image_size)
    report.note(f"Prepared {header.num_images:,} images of {source} at {size} into {found.path}{left_out}.")
    for text in header.notes:
        hint = " Add --labels folders to make them classes."
        report.note(text.replace(hint, f" To train with classes, make a store: {make} --labels folders"))


def run_training(
    store: str, out: Path, run: dict[str, Any], max_time: float | None, *, json: bool, open_report: bool = False
) -> None:
    """Train, and show it: what ``sgkit train`` does when its options are read."""
    deadline = None if max_time is None else time.monotonic() + max_time
    if run["resume"] and not (out / "config.toml").exists():
        report.note(f"{out} holds no run yet: starting one.")
    with report.live_table("Training") as on_progress, _stop_requests(deadline) as should_stop:
        from sgkit.runs import train

        shown = _opening(out / "report.html", on_progress) if open_report else on_progress
        result = train(store, out, **run, should_stop=should_stop, on_progress=shown, on_event=_tell)
    report.emit(result, json=json, show=_show)
    if result.stopped_by is not None:
        again = f"sgkit train {shell_word(store)} --out {shell_word(out)} --resume"
        report.note(f"Stopped by {result.stopped_by} after saving. Continue with: {again}")
        raise typer.Exit(_exit_code(result.stopped_by))


def _opening(page: Path, on_progress: OnProgress) -> OnProgress:
    """``on_progress``, which opens ``page`` in the browser at its first call after the page was written."""
    began = time.time()
    waiting = RANK == "0"

    def opening(progress: Progress) -> None:
        nonlocal waiting
        if waiting and page.is_file() and page.stat().st_mtime >= began - 1:
            waiting = False
            if not webbrowser.open(page.resolve().as_uri()):
                report.note(f"No browser can be opened here. Open the report yourself: {page}")
        on_progress(progress)

    return opening


def _exit_code(reason: str) -> int:
    if reason == TIME_LIMIT:
        # Anything but 0 would make torchrun restart the run, beyond the time that it was given.
        return 0 if "TORCHELASTIC_RUN_ID" in os.environ else NOT_DONE
    return 128 + signal.Signals[reason].value if reason in signal.Signals.__members__ else 1


def _tell(event: Event) -> None:
    if event.name in ("choices", "columns", "expect"):
        report.note_lines(event.text, {name: str(value) for name, value in event.facts.items()})
        return
    tell = report.note if event.name in ("init", "start", "computing") else report.warning
    tell(f"At {event.kimg:g} kimg: {event.text}")


def _show(result: TrainResult) -> None:
    from sgkit.runs.folder import kimg_of

    facts: dict[str, object] = {
        "trained": kimg_of(result.kimg, result.total_kimg),
        "model": result.snapshot / "model.safetensors",
    }
    if result.best is not None:
        facts["best model"] = result.best / "model.safetensors"
        facts |= {name: f"{value:.4g}" for name, value in result.metrics.items()}
    report.facts(facts | {"report": result.run / "report.html", "log": result.run / "log.jsonl"})


def run_dry(store: str, out: Path | None, run: dict[str, Any], max_time: float | None, *, json: bool) -> None:
    """Measure what the run would take, and show it."""
    report.note(
        "Measuring a few training steps in a separate process; nothing is written. Large networks take minutes."
    )
    with report.progress_bar("Dry run", every=2.0) as on_progress:
        from sgkit.runs import plan

        found = plan(store, out, **run, on_progress=on_progress)
    report.emit(found, json=json, show=lambda found: _show_plan(found, max_time))


def _show_plan(plan: TrainPlan, max_time: float | None) -> None:
    from sgkit.runtime.toml import to_toml

    report.block(to_toml(plan.config.to_dict()))
    if plan.config.choices:
        report.facts(dict(line.split(": ", 1) for line in plan.config.choices), title="Chosen")
    train = plan.config.train
    parameters = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in plan.parameters.items())
    report.facts(
        {
            "device": f"{plan.device}, {plan.precision}",
            "parameters": parameters,
            "images": f"{train.batch} per step, {plan.held_images} in memory at once",
            "memory": f"about {plan.memory_gib:.2f} GiB per process",
            "speed": f"about {plan.sec_per_kimg:.2f} s/kimg, from steps of {plan.probed_images} images",
            "time": f"about {report.duration(plan.hours * 3600)} for {train.total_kimg - plan.done_kimg:g} kimg",
            **plan.expected,
            **({} if max_time is None else {"--max-time": f"about {max_time / plan.sec_per_kimg:.3g} kimg"}),
            "disk": f"about {plan.num_snapshots} snapshots of {plan.snapshot_mib:.0f} MiB: "
            f"{plan.num_snapshots * plan.snapshot_mib / 1024:.2f} GiB (--keep N keeps fewer)",
        },
        title="Nothing was written. This run would take",
    )


@contextmanager
def _stop_requests(deadline: float | None) -> Iterator[Callable[[], str | None]]:
    """A function that names what asks this process to stop: a signal (asked twice, it acts at once), or the clock."""
    asked: list[str] = []
    parent = os.getpid()

    def note(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        if os.getpid() == parent:  # processes that decode images are forked with this handler
            asked.append(signal.Signals(number).name)
            report.note(f"{asked[-1]}: saving a snapshot after this step. Send it again to stop without.")

    def reason() -> str | None:
        if not asked and deadline is not None and time.monotonic() >= deadline:
            asked.append(TIME_LIMIT)
        return asked[-1] if asked else None

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield reason
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
