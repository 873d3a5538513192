"""One part of a store, from a list of candidates: workers process them, one writer appends, everything in order.

What ends up in the file depends on the candidates and options only: not on the number of workers, nor on how often the
work was stopped on its way.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from sgkit.errors import InputError, StoreError
from sgkit.runtime.files import fault_of_writing
from sgkit.runtime.limits import TooLargeError
from sgkit.store.bad_images import BadImageError
from sgkit.store.header import PartInfo
from sgkit.store.images.duplicates import DuplicateFinder
from sgkit.store.images.faces import Landmarker, make_landmarker
from sgkit.store.images.process import ImageOptions, ProcessedImage, process
from sgkit.store.preparing.plan import PreparePlan
from sgkit.store.preparing.selection import Candidates
from sgkit.store.preparing.workers import map_in_order
from sgkit.store.records import PartWriter, Record, label_bytes
from sgkit.store.sources import Item, Reader

COMMIT_BYTES = 16 << 20
COMMIT_ITEMS = 1024
"""A transaction ends after so many bytes or candidates: what a crash can cost, and what is held in memory."""
CHUNK_BYTES = 16 << 20
IN_FLIGHT_BYTES = 256 << 20
"""Of images from compressed archives: what a worker gets at once, and what all of them hold."""
CHUNK_ITEMS = 8
"""Candidates that a worker gets at once; fewer when there are so few that some workers would stand idle at the end."""

SOURCE_FAILURES = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN}
    if hasattr(errno, "EHOSTDOWN")
    else {errno.EIO}
)
"""Errors of a disk or network that ail the whole source, not one file."""


@dataclass(kw_only=True)
class BuildState:
    """How far a part is. Kept in the part's file, in the transaction of the records that it counts."""

    num_items: int = 0
    num_images: int = 0
    num_bytes: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    report_bytes: int = 0
    """Length of the report that belongs to this state; what lies beyond was written by a run that was killed."""
    skipped: dict[str, int] = field(default_factory=dict)
    per_source: list[list[int]] = field(default_factory=list)
    complete: bool = False

    @property
    def num_skipped(self) -> int:
        """Candidates left out."""
        return sum(self.skipped.values())


@dataclass(frozen=True, kw_only=True)
class PartJob:
    """What one part is made from, and where it goes."""

    plan: PreparePlan
    candidates: Candidates
    """The files to look at, in order: the plan's, or a share of them."""
    file: Path
    report: Path
    known: Sequence[Path] = ()
    """Parts of other stores whose images count as seen when duplicates are left out."""
    workers: int = 1
    stop_on_error: bool = False
    max_bad: float | None = None
    """Most candidates that may be left out: a number, or a fraction below 1 of those looked at."""


def build_part(job: PartJob, on_state: Callable[[BuildState], None]) -> PartInfo:
    """Write the part, or go on with it, and say what is in it; ``on_state`` is called after every candidate.

    Raises:
        StoreError: the disk is full, a worker died, or too many files are bad. The part can be continued.
        InputError: a source fails as a whole, or a file is bad and ``stop_on_error`` is set.
    """
    writer = PartWriter(job.file)
    saved = writer.read_state()
    state = BuildState(**saved) if saved else BuildState(per_source=[[0, 0] for _ in job.plan.sources])
    if not state.complete:
        _build(job, writer, state, on_state)
    return PartInfo(
        file=job.file.name,
        num_images=state.num_images,
        num_items=state.num_items,
        num_bytes=state.num_bytes,
        skipped=dict(sorted(state.skipped.items())),
        per_source=tuple((images, skipped) for images, skipped in state.per_source),
        changed=dict(sorted(state.changed.items())),
    )


def _build(job: PartJob, writer: PartWriter, state: BuildState, on_state: Callable[[BuildState], None]) -> None:
    batch: list[Record] = []
    batch_bytes = batch_items = 0
    finder = _duplicate_finder(job)
    with _open_report(job.report, state.report_bytes) as report:
        for outcome in _outcomes(job, state.num_items):
            records = _admit(job, outcome, state, report, finder)
            batch += records
            batch_items += 1
            batch_bytes += sum(record.num_bytes for record in records)
            if batch_bytes >= COMMIT_BYTES or batch_items >= COMMIT_ITEMS:
                _commit(writer, batch, state, report)
                batch, batch_bytes, batch_items = [], 0, 0
            on_state(state)
        state.complete = True
        _commit(writer, batch, state, report)


class _Report:
    """The lines of ``report.jsonl``, flushed with each transaction."""

    def __init__(self, path: Path, keep: int) -> None:
        path.touch()
        self._file = path.open("r+b")
        self._file.truncate(keep)
        self._file.seek(keep)

    def __enter__(self) -> _Report:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, **values: Any) -> None:
        """Write a line."""
        line = json.dumps(values, ensure_ascii=False) + "\n"
        self._file.write(line.encode("utf-8", "surrogateescape"))

    def flush(self) -> int:
        """Hand everything to the system and return the length so far."""
        self._file.flush()
        return self._file.tell()


def _open_report(path: Path, keep: int) -> _Report:
    return _Report(path, keep)


def _commit(writer: PartWriter, batch: list[Record], state: BuildState, report: _Report) -> None:
    try:
        try:
            state.report_bytes = report.flush()
        except OSError as error:
            raise StoreError(f"{fault_of_writing(error, writer.path.with_suffix('.jsonl')) or error}") from error
        writer.commit(state.num_images - len(batch), batch, vars(state))
    except StoreError as fault:
        raise StoreError(f"{fault} All images up to here are safe: run the same command again to continue.") from fault


@dataclass(frozen=True)
class _Outcome:
    source: int
    item: Item
    images: tuple[ProcessedImage, ...] = ()
    bad: tuple[str, str] | None = None
    """Reason and detail."""
    failed_source: str | None = None


def _duplicate_finder(job: PartJob) -> DuplicateFinder | None:
    if job.plan.options.dedupe == "none":
        return None
    finder = DuplicateFinder(near=job.plan.options.dedupe == "near")
    for path in (*job.known, job.file):
        for meta, _ in PartWriter(path).read_metas():
            finder.add(meta["name"], meta["pixels"], meta.get("perceptual"))
    return finder


def _admit(
    job: PartJob, outcome: _Outcome, state: BuildState, report: _Report, finder: DuplicateFinder | None
) -> list[Record]:
    """The records of a candidate, counted in ``state``; none when it is left out, which goes to the report."""
    given = job.plan.sources[outcome.source].given
    if outcome.failed_source is not None:
        raise InputError(
            f"Source {given} failed while reading {outcome.item.name}: {outcome.failed_source}. What is stored is "
            "safe; run the same command again to continue when the source is back."
        )
    state.num_items += 1
    bad, label = outcome.bad, None
    if bad is None:
        try:
            label = job.plan.labeller.label(outcome.source, outcome.item)
        except BadImageError as error:
            bad = (error.reason, error.detail)
    if bad is not None:
        _leave_out(job, outcome, outcome.item.name, bad, state, report)
        return []
    images = [image for image in outcome.images if _is_new(job, outcome, image, state, report, finder)]
    for image in images:
        for change, detail in image.changes.items():
            state.changed[change] = state.changed.get(change, 0) + 1
            name = outcome.item.name + image.suffix
            report.add(source=given, name=name, reason=change, detail=detail, used=True)
    stored_label = label_bytes(job.plan.labeller.schema, label)
    records = [Record(image.images, stored_label, _meta(outcome, image)) for image in images]
    state.num_images += len(records)
    state.num_bytes += sum(record.num_bytes for record in records)
    state.per_source[outcome.source][0] += len(records)
    return records


def _meta(outcome: _Outcome, image: ProcessedImage) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "name": outcome.item.name + image.suffix,
        "source": outcome.source,
        "pixels": image.pixel_hash,
    }
    if image.perceptual_hash is not None:
        meta["perceptual"] = image.perceptual_hash
    if outcome.item.attributes:
        meta["attributes"] = dict(outcome.item.attributes)
    return meta


def _is_new(
    job: PartJob,
    outcome: _Outcome,
    image: ProcessedImage,
    state: BuildState,
    report: _Report,
    finder: DuplicateFinder | None,
) -> bool:
    """Whether no earlier image is the same; one that repeats is left out."""
    if finder is None:
        return True
    name = outcome.item.name + image.suffix
    found = finder.find(image.pixel_hash, image.perceptual_hash)
    if found is None:
        finder.add(name, image.pixel_hash, image.perceptual_hash)
        return True
    _leave_out(job, outcome, name, (found[0], f"of {found[1]}"), state, report)
    return False


def _leave_out(
    job: PartJob, outcome: _Outcome, name: str, bad: tuple[str, str], state: BuildState, report: _Report
) -> None:
    reason, detail = bad
    given = job.plan.sources[outcome.source].given
    if job.stop_on_error and not reason.endswith("duplicate"):
        raise InputError(
            f"{name} in {given} cannot be used: {reason}{f' ({detail})' if detail else ''}. Stopped, as "
            "--on-error stop asks; repair or remove it, or run the same command with --on-error skip to go on."
        )
    state.skipped[reason] = state.skipped.get(reason, 0) + 1
    state.per_source[outcome.source][1] += 1
    report.add(source=given, name=name, reason=reason, detail=detail)
    num_bad = sum(count for why, count in state.skipped.items() if not why.endswith("duplicate"))
    limit = job.max_bad
    if limit is not None and num_bad > (limit if limit >= 1 else max(limit * state.num_items, 100 * limit)):
        allowed = f"{limit:g} files" if limit >= 1 else f"{limit:.3g} of all"
        raise StoreError(
            f"{num_bad} of {state.num_items} files were left out, more than --max-bad allows ({allowed}). "
            f"The last one: {name}: {reason}. See the reasons in {job.report}, or raise --max-bad and run again to "
            "continue."
        )


def _outcomes(job: PartJob, start: int) -> Iterator[_Outcome]:
    faces = job.plan.options.parsed_crop.kind == "face"
    landmarker = make_landmarker(job.plan.options.landmarks) if faces else None
    setup = _Setup([source.reader() for source in job.plan.sources], job.plan.image_options, landmarker)
    results = map_in_order(
        _process_chunk,
        setup,
        _chunks(job, start),
        workers=job.workers,
        size_of=_chunk_bytes,
        most_bytes=IN_FLIGHT_BYTES,
    )
    try:
        for chunk in results:
            yield from chunk
    finally:
        results.close()  # type: ignore[attr-defined]


def _chunks(job: PartJob, start: int) -> Iterator[list[tuple[int, Item]]]:
    items = _items(job, start)
    length = min(max(len(job.candidates) // (8 * job.workers), 1), CHUNK_ITEMS)
    chunk: list[tuple[int, Item]] = []
    for candidate in items:
        chunk.append(candidate)
        del candidate  # before the next one is read
        if len(chunk) >= length or _chunk_bytes(chunk) >= CHUNK_BYTES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _chunk_bytes(chunk: list[tuple[int, Item]]) -> int:
    """Bytes of the images that a chunk brings along."""
    return sum(len(item.payload) for _, item in chunk if isinstance(item.payload, bytes))


def _items(job: PartJob, start: int) -> Iterator[tuple[int, Item]]:
    """The candidates from ``start`` on; those of a stream are picked from it as it goes by."""
    for number, group in groupby(job.candidates[start:], key=lambda candidate: candidate[0]):
        source = job.plan.sources[number]
        if not source.streamed:
            yield from ((number, source[item]) for _, item in group)
            continue
        wanted = [item for _, item in group]
        chosen = set(wanted)
        for place, streamed in enumerate(source.stream(wanted[0]), wanted[0]):
            if place in chosen:
                yield number, streamed
            del streamed  # before the next one is read
            if place == wanted[-1]:
                break


@dataclass(frozen=True)
class _Setup:
    """What workers are sent once."""

    readers: list[Reader]
    options: ImageOptions
    landmarker: Landmarker | None


def _process_chunk(setup: _Setup, chunk: list[tuple[int, Item]]) -> list[_Outcome]:
    return [_process_item(setup, source, item) for source, item in chunk]


def _process_item(setup: _Setup, source: int, item: Item) -> _Outcome:
    reader = setup.readers[source]
    kept = Item(item.name, None, item.label, None, item.attributes)
    try:
        payload = reader.read(item) if item.payload is None else item.payload
    except TooLargeError as error:
        return _Outcome(source, kept, bad=("too large", str(error)))
    except OSError as error:
        if error.errno in SOURCE_FAILURES or not Path(reader.path).exists():
            return _Outcome(source, kept, failed_source=str(error))
        return _Outcome(source, kept, bad=("unreadable", str(error)))
    try:
        return _Outcome(source, kept, tuple(process(item.name, payload, setup.options, setup.landmarker)))
    except BadImageError as error:
        return _Outcome(source, kept, bad=(error.reason, error.detail))
