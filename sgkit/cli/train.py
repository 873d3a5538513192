"""``sgkit train``: options -> configuration -> task -> report."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.options import (
    ConfigOption,
    DeviceOption,
    JsonOption,
    SetOption,
    Size,
    SizeOption,
    overrides,
    parse_duration,
    parse_gib,
    parse_kimg,
    parse_model,
    parse_store,
)
from sgkit.config import AugmentKind, Precision
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.tasks.train import Event, PresetRow, TrainPlan, TrainResult

__all__ = ["train"]

TIME_LIMIT = "the time limit"
NOT_DONE = 75
"""Exit code of a run that saved itself at its time limit and wants to be called again (EX_TEMPFAIL)."""


def train(
    store: Annotated[
        Path | None,
        typer.Argument(
            metavar="STORE", parser=parse_store, help="Images, as 'sgkit prepare' makes them.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="Folder of the run: snapshots, report, pictures, log.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="Model and recipe to begin with, such as stylegan2-32."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            metavar="MODEL",
            parser=parse_model,
            help="Begin from this model's networks; any checkpoint that sgkit reads.",
        ),
    ] = None,
    augment: Annotated[
        AugmentKind | None,
        typer.Option("--augment", help="What D sees images through: for small data, ada."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last whole snapshot; begin where there is no run yet.")
    ] = False,
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
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="NAMES", help="Measure snapshots by these; the first one ranks them."),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option("--every", parser=parse_kimg, metavar="KIMG", help="Measure each so many kimg, such as 50kimg."),
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, metavar="N", help="Keep the newest N snapshots, and the best.")
    ] = None,
    max_time: Annotated[
        float | None,
        typer.Option(
            "--max-time",
            parser=parse_duration,
            metavar="TIME",
            help="Save and end after 11.5h, 30m, 90s (exit code 75).",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory", parser=parse_gib, metavar="SIZE", help="Hold so few images at once that 8GiB are enough."
        ),
    ] = None,
    wandb: Annotated[
        str | None, typer.Option("--wandb", metavar="PROJECT", help="Report to Weights & Biases, too.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show configuration, size, memory and time; write nothing.")
    ] = False,
    list_presets: Annotated[
        bool, typer.Option("--list-presets", help="Show all presets in numbers, for --size if given.")
    ] = False,
    size: SizeOption = None,
    device: DeviceOption = "auto",
    config: ConfigOption = None,
    settings: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Train a generator on a store of images; Ctrl-C or SIGTERM saves first, and --resume goes on."""
    if list_presets:
        _list_presets(size, json=json)
        return
    if store is None or (out is None and not dry_run):
        raise UsageError(
            f"{'Name the STORE' if store is None else 'Name the folder of the run with --out'}: "
            "sgkit train STORE --out RUN --preset NAME. See also: sgkit train --list-presets."
        )
    changes: dict[str, Any] = overrides(config, settings or [])
    given = {
        "init": None if init is None else str(init),
        "train.augment.kind": augment,
        "train.total_kimg": kimg,
        "train.batch": batch,
        "train.seed": seed,
        "train.mirror": mirror,
        "train.precision": precision,
        "metrics.names": metrics,
        "metrics.every_kimg": every,
        "keep.last": keep,
        "wandb": wandb,
    }
    changes |= {key: value for key, value in given.items() if value is not None}
    if dry_run:
        _dry_run(store, preset, changes, memory, device, json=json)
    elif out is not None:
        _train(store, out, preset, changes, resume=resume, memory=memory, max_time=max_time, device=device, json=json)


def _train(
    store: Path,
    out: Path,
    preset: str | None,
    changes: dict[str, Any],
    *,
    resume: bool,
    memory: float | None,
    max_time: float | None,
    device: str,
    json: bool,
) -> None:
    deadline = None if max_time is None else time.monotonic() + max_time
    if resume and not (out / "config.toml").exists():
        report.note(f"{out} holds no run yet: starting one.")
    with report.live_table("Training") as on_progress, _stop_requests(deadline) as should_stop:
        from sgkit.tasks.train import train as run

        result = run(
            store,
            out,
            preset=preset,
            settings=changes,
            resume=resume,
            memory_gib=memory,
            device=device,
            should_stop=should_stop,
            on_progress=on_progress,
            on_event=_tell,
        )
    report.emit(result, json=json, show=_show)
    if result.stopped_by is not None:
        again = f"sgkit train {store} --out {out} --resume"
        report.note(f"Stopped by {result.stopped_by} after saving. Go on with: {again}")
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
    facts: dict[str, object] = {
        "trained": f"{result.kimg:g} of {result.total_kimg:g} kimg",
        "model": result.snapshot / "model.safetensors",
    }
    if result.best is not None:
        facts["best model"] = result.best / "model.safetensors"
        facts |= {name: f"{value:.4g}" for name, value in result.metrics.items()}
    report.facts(facts | {"report": result.run / "report.html", "log": result.run / "log.jsonl"})


def _dry_run(
    store: Path, preset: str | None, changes: dict[str, Any], memory: float | None, device: str, *, json: bool
) -> None:
    with report.progress_bar("Trying a few steps"):
        from sgkit.tasks.train import plan

        found = plan(store, preset=preset, settings=changes, memory_gib=memory, device=device)
    report.emit(found, json=json, show=_show_plan)


def _show_plan(plan: TrainPlan) -> None:
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
            "time": f"about {report.duration(plan.hours * 3600)} for {train.total_kimg:g} kimg",
            "disk": f"about {plan.num_snapshots} snapshots of {plan.snapshot_mib:.0f} MiB: "
            f"{plan.num_snapshots * plan.snapshot_mib / 1024:.2f} GiB (--keep N keeps fewer)",
        },
        title="Nothing was written. This run would take",
    )


def _list_presets(size: Size | None, *, json: bool) -> None:
    from sgkit.tasks.train import preset_rows

    rows = preset_rows(None if size is None else (size.height, size.width))
    report.emit(rows, json=json, show=_show_presets)


def _side(size: str) -> str:
    """``1024x1024`` as ``1024``: --size takes a square by its side."""
    width, height = size.split("x")
    return width if width == height else size


def _show_presets(rows: list[PresetRow]) -> None:
    """Two tables, since one would be too wide for a terminal."""
    report.table(["preset", "what"], [[row.name, row.summary] for row in rows])
    report.out("")
    report.table(
        ["preset", "for", "G in M", "D in M", "batch", "rate", "R1", "kimg"],
        [
            [
                *(row.name, _side(row.size), f"{row.generator / 1e6:.2f}", f"{row.discriminator / 1e6:.2f}", row.batch),
                *(row.lr, row.r1_gamma, f"{row.kimg:g}"),
            ]
            for row in rows
        ],
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
