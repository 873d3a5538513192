"""Turn images into a store: plan, write the parts, join them under one header."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sgkit.errors import ConfigError, StoreError, UsageError
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.store.contact import write_contact_sheet
from sgkit.store.header import Header, PartInfo, size_text
from sgkit.store.preparing.build import BuildState, PartBuilder
from sgkit.store.preparing.parts import StoreFiles, parse_part
from sgkit.store.preparing.plan import PrepareOptions, make_plan
from sgkit.store.preparing.selection import parse_split, share
from sgkit.store.preparing.workers import num_cores
from sgkit.text import shell_word

PROGRESS_SECONDS = 0.1


class PrepareInterruptedError(StoreError):
    """Preparation was stopped by Ctrl-C and can be continued (exit code 130)."""

    exit_code = 130


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    """What was made."""

    path: Path
    header: Header | None
    """``None`` while other parts are missing."""
    is_last: bool = True
    """Whether this process finished the store; of several that end at once, one does."""
    missing_parts: tuple[int, ...]
    """Parts, from 1, that other processes have not finished yet."""
    part: PartInfo
    """What this process's part holds."""
    seconds: float
    contact_sheet: Path | None = None
    """A picture with some of the images, if it was asked for and could be written."""
    resumed_at: int
    """Files that an earlier, unfinished run had looked at."""


@dataclass(frozen=True, kw_only=True)
class RunStore:
    """The store of a run."""

    path: Path
    header: Header
    is_new: bool
    """Whether it was made just now."""
    notes: tuple[str, ...] = ()
    """What the user should know: that the source has changed since."""


def prepare(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    options: PrepareOptions,
    workers: int | None = 1,
    part: str | None = None,
    on_error: Literal["skip", "stop"] = "skip",
    max_bad: float | None = None,
    on_progress: OnProgress = ignore_progress,
    known: Sequence[str | Path] = (),
    contact_sheet: bool = False,
) -> PrepareResult:
    """A finished store at ``out``, made from ``sources``; continued where an earlier run was stopped.

    Args:
        sources: folders, archives, data sets, other stores, or ``sample:landscapes?count=1000``.
        out: the store's folder, new or left unfinished by the same call.
        options: how images are processed, which of them are used, and their labels.
        workers: processes that decode and encode; ``None`` takes every core. More than one are spawned: in a script,
            call this below ``if __name__ == "__main__":``.
        part: ``3/64``: make the third of 64 parts; whichever process finishes last writes the header. ``None``: taken
            from torchrun's variables, or all in one.
        on_error: ``skip`` leaves bad files out and lists them in ``report.jsonl``; ``stop`` raises at the first one.
        max_bad: raise when more files than this (or, below 1, than this fraction) are bad.
        on_progress: called a few times a second.
        known: finished stores whose images count as seen when duplicates are skipped.
        contact_sheet: also write a picture with some of the images, beside the store.

    Raises:
        InputError: a source is missing, empty or fails.
        StoreError: ``out`` exists, or holds a preparation with other options; the disk is full; too many files are bad.
        PrepareInterruptedError: Ctrl-C; the same call continues.
    """
    started = time.monotonic()
    number, num_parts = _place(part)
    _check_how(workers, max_bad, on_error, options, num_parts)
    files = StoreFiles(Path(out), num_parts)
    files.refuse_occupied()
    plan = make_plan([str(s) for s in ([sources] if isinstance(sources, (str, Path)) else sources)], options)
    files.start_or_continue(plan.describe(files.folder, num_parts))
    builder = PartBuilder(
        plan=plan,
        candidates=share(plan.candidates, number, num_parts),
        file=files.database(number),
        report=files.report(number),
        known=[file for store in known for file in sorted(Path(store).glob("part-*.mdb"))],
        workers=_share_of_cores() if workers is None else workers,
        stop_on_error=on_error == "stop",
        max_bad=max_bad,
    )
    next_report = 0.0

    def tell(state: BuildState) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report or state.num_items == len(builder.candidates):
            next_report = time.monotonic() + PROGRESS_SECONDS
            num_skipped = sum(state.skipped.values())
            fields = {"skipped": str(num_skipped)} if num_skipped else {}
            on_progress(Progress(done=state.num_items, total=len(builder.candidates), unit="files", fields=fields))

    with files.locked(number):
        try:
            info = builder.build(tell)
        except KeyboardInterrupt:
            raise PrepareInterruptedError(
                f"Stopped. Everything but the last few hundred files is safe in {files.folder}; run the same command "
                "again to continue."
            ) from None
        files.finish_part(number, info)
    header, is_last = files.join(plan)
    return PrepareResult(
        path=files.folder,
        header=header,
        is_last=is_last,
        missing_parts=() if header else tuple(files.missing_parts()),
        part=info,
        contact_sheet=write_contact_sheet(files.folder) if contact_sheet and header and is_last else None,
        seconds=time.monotonic() - started,
        resumed_at=builder.resumed_at,
    )


def prepare_split(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    options: PrepareOptions,
    workers: int | None = 1,
    on_error: Literal["skip", "stop"] = "skip",
    max_bad: float | None = None,
    on_progress: OnProgress = ignore_progress,
    contact_sheet: bool = False,
) -> dict[str, PrepareResult]:
    """A finished store for every name of ``options.split``, in folders of these names below ``out``.

    Subsets that are finished already stay as they are. With ``dedupe``, an image of one subset is skipped in the next.

    Raises:
        UsageError: the options have no split.
        InputError, StoreError: as :func:`prepare` says.
    """
    if not options.split:
        raise UsageError("There is no split in the options. Write it as train=0.9,val=0.1.")
    results: dict[str, PrepareResult] = {}
    for name in parse_split(options.split):
        folder, own = Path(out) / name, replace(options, subset=name)
        earlier = [result.path for result in results.values()]
        finished = _finished(folder, own)
        results[name] = finished or prepare(
            sources,
            folder,
            options=own,
            workers=workers,
            part="1/1",
            on_error=on_error,
            max_bad=max_bad,
            on_progress=on_progress,
            known=earlier,
            contact_sheet=contact_sheet,
        )
    return results


def store_of_run(
    source: str, folder: Path, *, size: tuple[int, int] | None = None, on_progress: OnProgress = ignore_progress
) -> RunStore:
    """The store in ``folder`` of a run, made from the images of ``source`` the first time.

    Args:
        source: a folder, an archive, or any other source of images.
        folder: of the store, in the folder of the run; an interrupted preparation in it is continued.
        size: height and width; needed the first time.

    Raises:
        UsageError: the size is missing, and no store exists yet.
        ConfigError: the store has another size.
        InputError, StoreError: as :func:`prepare` has them.
    """
    header = StoreFiles(folder, 1).finished_header()
    if header is not None:
        if size not in (None, header.image_size):
            raise ConfigError(
                f"The images of {folder.parent} were prepared at {size_text(header.image_size)}; --size "
                f"{size_text(size)} is another size. Leave --size out, or name a new folder for the run with --out."
            )
        return RunStore(path=folder, header=header, is_new=False, notes=_changes(source, folder, header))
    if size is None:
        raise UsageError(
            f"{source} is not a store, so its images must be prepared first. Say how large they should be, for "
            "example: --size 64"
        )
    made = prepare(
        source,
        folder,
        options=PrepareOptions(size=size),
        workers=None,
        part="1/1",
        contact_sheet=True,
        on_progress=on_progress,
    )
    assert made.header is not None
    return RunStore(path=folder, header=made.header, is_new=True)


def _changes(source: str, folder: Path, header: Header) -> tuple[str, ...]:
    """A sentence if ``source`` does not hold the files any more that the store was made from."""
    before = header.sources[0]
    [now] = make_plan([source], PrepareOptions(size=header.image_size)).sources
    if now.fingerprint() == before.fingerprint:
        return ()
    height, width = header.image_size
    name, side = shell_word(source), str(width) if width == height else size_text(header.image_size)
    other = "" if before.given == source else f", prepared from {before.given}"
    return (
        f"{source} does not hold the files that this run is trained on{other}: there were {before.num_items:,}, now "
        f"there are {len(now):,}. Training continues with the images prepared then, in {folder}. To continue with "
        f"those of {source}: sgkit prepare {name} --out STORE --size {side}, then sgkit train STORE --out "
        f"{shell_word(folder.parent)} --resume --new-data",
    )


def _finished(folder: Path, options: PrepareOptions) -> PrepareResult | None:
    """The store that an earlier run of the same preparation finished, if it did."""
    files = StoreFiles(folder, 1)
    header = files.finished_header()
    if header is None or header.settings != options.to_dict():
        return None
    part = header.parts[0]
    return PrepareResult(
        path=folder, header=header, missing_parts=(), part=part, seconds=0.0, resumed_at=part.num_items
    )


def _place(part: str | None) -> tuple[int, int]:
    """(part from 0, number of parts): as given, or as torchrun says."""
    if part is not None:
        return parse_part(part)
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _share_of_cores() -> int:
    return max(num_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def _check_how(
    workers: int | None, max_bad: float | None, on_error: str, options: PrepareOptions, num_parts: int
) -> None:
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; it must be 1 or more.")
    if max_bad is not None and not 0 <= max_bad < math.inf:
        raise ConfigError(f"max_bad is {max_bad:g}; it must be a number of files, or a fraction below 1.")
    if on_error not in ("skip", "stop"):
        raise ConfigError(f"on_error is {on_error!r}; it must be skip or stop.")
    if options.dedupe != "none" and num_parts > 1:
        raise UsageError(
            "Duplicates are found by looking at all images, so --dedupe works in one process only. Make the store "
            "without it, then 'sgkit prepare STORE --out CLEAN --dedupe exact'."
        )
    if options.split and not options.subset:
        raise UsageError("A split makes several stores: call prepare_split.")
