"""Turn piles of images into a store: plan, write the parts, join them under one header."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sgkit.errors import ConfigError, InputError, StoreError
from sgkit.runtime.files import atomic_path
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.store.build import BuildState, PartJob, build_part
from sgkit.store.header import HEADER_NAME, PLAN_NAME, REPORT_NAME, Header, PartInfo
from sgkit.store.plan import PrepareOptions, PreparePlan, check_same, make_plan
from sgkit.store.workers import num_cores

__all__ = ["PrepareInterruptedError", "PrepareOptions", "PrepareResult", "prepare"]

PROGRESS_SECONDS = 0.1


class PrepareInterruptedError(StoreError):
    """Preparation was stopped by Ctrl-C and can be continued (exit code 130)."""

    exit_code = 130


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    """What was made."""

    path: Path
    header: Header
    seconds: float
    resumed_at: int
    """Files that an earlier, unfinished run had looked at."""


def prepare(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    options: PrepareOptions,
    workers: int | None = 1,
    on_error: Literal["skip", "stop"] = "skip",
    max_bad: float | None = None,
    on_progress: OnProgress = ignore_progress,
) -> PrepareResult:
    """A finished store at ``out``, made from ``sources``; continued where an earlier run was stopped.

    ``workers``: processes that decode and encode; ``None`` takes every core. More than one are spawned: in a script,
    call this below ``if __name__ == "__main__":``. ``on_error``: ``skip`` leaves bad files out and lists them in
    ``report.jsonl``, ``stop`` raises at the first one. ``max_bad``: raise when more files than this (or, below 1, than
    this fraction) are bad.

    Raises:
        InputError: a source is missing, empty or fails.
        StoreError: ``out`` exists, or holds a preparation with other options; the disk is full; too many files are bad.
        PrepareInterruptedError: Ctrl-C; the same call continues.
    """
    started = time.monotonic()
    _check_how(workers, max_bad)
    folder = Path(out)
    _refuse_occupied(folder)
    plan = make_plan([str(s) for s in ([sources] if isinstance(sources, (str, Path)) else sources)], options)
    _start_or_continue(folder, plan.describe(folder, 1))
    job = PartJob(
        sources=plan.sources,
        candidates=plan.candidates,
        options=options,
        labeller=plan.labeller,
        file=folder / "part-00000.mdb",
        report=folder / REPORT_NAME,
        workers=num_cores() if workers is None else workers,
        stop_on_error=on_error == "stop",
        max_bad=max_bad,
    )
    reporter = _Reporter(on_progress, len(plan.candidates))
    part = _build(job, reporter)
    header = _finish(folder, plan, [part])
    return PrepareResult(path=folder, header=header, seconds=time.monotonic() - started, resumed_at=reporter.first or 0)


def _check_how(workers: int | None, max_bad: float | None) -> None:
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; it must be 1 or more.")
    if max_bad is not None and max_bad < 0:
        raise ConfigError(f"max_bad is {max_bad:g}; it must be a number of files, or a fraction below 1.")


def _refuse_occupied(folder: Path) -> None:
    """Touch nothing that is not an unfinished store of ours."""
    if (folder / HEADER_NAME).exists():
        raise StoreError(f"{folder} is a finished store already. Remove it, or give another --out.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --out names the folder to make.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / PLAN_NAME).is_file():
        raise InputError(f"{folder} exists and is not empty. Give another --out; nothing was touched.")


def _start_or_continue(folder: Path, planned: dict[str, Any]) -> None:
    file = folder / PLAN_NAME
    if not file.is_file():
        with atomic_path(file) as aside:
            aside.write_text(json.dumps(planned, indent=1), encoding="utf-8")
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{file} is damaged ({error}). Remove {folder} and start again.") from error
    check_same(planned, found, folder)


class _Reporter:
    """Turns states into progress, a few times a second."""

    def __init__(self, on_progress: OnProgress, total: int) -> None:
        self.first: int | None = None
        self._on_progress = on_progress
        self._total = total
        self._next = 0.0

    def __call__(self, state: BuildState) -> None:
        if self.first is None:
            self.first = state.num_items - 1
        now = time.monotonic()
        if now >= self._next or state.num_items == self._total:
            self._next = now + PROGRESS_SECONDS
            fields = {"skipped": str(state.num_skipped)} if state.num_skipped else {}
            self._on_progress(
                Progress(done=state.num_items, total=self._total, unit="files", stage="preparing", fields=fields)
            )


def _build(job: PartJob, reporter: _Reporter) -> PartInfo:
    try:
        return build_part(job, reporter)
    except KeyboardInterrupt:
        raise PrepareInterruptedError(
            f"Stopped. Everything up to the last few hundred files is safe in {job.file.parent}; run the same command "
            "again to continue."
        ) from None


def _finish(folder: Path, plan: PreparePlan, parts: list[PartInfo]) -> Header:
    header = plan.join(folder, parts)
    with atomic_path(folder / HEADER_NAME) as aside:
        aside.write_text(header.to_json(), encoding="utf-8")
    (folder / PLAN_NAME).unlink()
    return header
