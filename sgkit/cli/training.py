"""How ``sgkit train`` runs and what it shows: progress, events, the dry run, requests to stop, the result."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from sgkit.cli import report
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.runs import Event, TrainPlan, TrainResult

TIME_LIMIT = "the time limit"
NOT_DONE = 75
"""Exit code of a run that saved itself at its time limit and wants to be called again (EX_TEMPFAIL)."""


def run_training(store: Path, out: Path, run: dict[str, Any], max_time: float | None, *, json: bool) -> None:
    """Train, and show it: what ``sgkit train`` does when its options are read."""
    deadline = None if max_time is None else time.monotonic() + max_time
    if run["resume"] and not (out / "config.toml").exists():
        report.note(f"{out} holds no run yet: starting one.")
    with report.live_table("Training") as on_progress, _stop_requests(deadline) as should_stop:
        from sgkit.runs import train

        result = train(store, out, **run, should_stop=should_stop, on_progress=on_progress, on_event=_tell)
    report.emit(result, json=json, show=_show)
    if result.stopped_by is not None:
        again = f"sgkit train {shell_word(store)} --out {shell_word(out)} --resume"
        report.note(f"Stopped by {result.stopped_by} after saving. Continue with: {again}")
        raise typer.Exit(_exit_code(result.stopped_by))


def _exit_code(reason: str) -> int:
    if reason == TIME_LIMIT:
        # Anything but 0 would make torchrun restart the run, beyond the time that it was given.
        return 0 if "TORCHELASTIC_RUN_ID" in os.environ else NOT_DONE
    return 128 + signal.Signals[reason].value if reason in signal.Signals.__members__ else 1


def _tell(event: Event) -> None:
    tell = report.note if event.name in ("init", "start") else report.warning
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


def run_dry(store: Path, out: Path | None, run: dict[str, Any], max_time: float | None, *, json: bool) -> None:
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
