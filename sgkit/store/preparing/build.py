"""One part of a store, from a list of candidates: workers process them, one writer appends, everything in order.

What ends up in the file depends on the candidates and options only: not on the number of workers, nor on how often the
work was interrupted.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

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
"""A transaction ends after this many bytes or candidates: what a crash can cost, and what is held in memory."""
CHUNK_BYTES = 16 << 20
IN_FLIGHT_BYTES = 256 << 20
"""Of images from compressed archives: what a worker gets at once, and what all of them hold."""
CHUNK_ITEMS = 8
"""Candidates that a worker gets at once; fewer when there are so few that some workers would stand idle at the end."""

SOURCE_FAILURES = {
    getattr(errno, name, errno.EIO)
    for name in ("EIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "ENODEV", "ENXIO", "EHOSTDOWN")
}
"""Errors of a disk or network that concern the whole source, not one file."""


@dataclass(kw_only=True)
class BuildState:
    """How far a part is. Kept in the part's file, in the transaction of the records that it counts."""

    num_items: int = 0
    num_images: int = 0
    num_bytes: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    report_bytes: int = 0
    """Length of the report that belongs to this state; what follows was written by a run that was killed."""
    skipped: dict[str, int] = field(default_factory=dict)
    per_source: list[list[int]] = field(default_factory=list)
    complete: bool = False


@dataclass(kw_only=True)
class PartBuilder:
    """Makes one part of a store."""

    plan: PreparePlan
    candidates: Candidates
    """The files to look at, in order: the plan's, or a share of them."""
    file: Path
    report: Path
    known: Sequence[Path] = ()
    """Parts of other stores whose images count as seen when duplicates are skipped."""
    workers: int = 1
    stop_on_error: bool = False
    max_bad: float | None = None
    """Most candidates that may be left out: a number, or a fraction below 1 of those looked at."""
    resumed_at: int = 0
    """Candidates that an earlier run looked at; known when the work begins."""

    def build(self, on_state: Callable[[BuildState], None]) -> PartInfo:
        """Write the part, or continue it, and say what is in it; ``on_state`` is called after every candidate."""
        self._writer = PartWriter(self.file)
        saved = self._writer.read_state() or {"per_source": [[0, 0] for _ in self.plan.sources]}
        state = self._state = BuildState(**saved)
        self.resumed_at = state.num_items
        if not state.complete:
            self._finder = self._duplicate_finder()
            self.report.touch()
            with self.report.open("r+b") as self._lines:
                self._lines.truncate(state.report_bytes)
                self._lines.seek(state.report_bytes)
                self._write(on_state)
        return PartInfo(
            file=self.file.name,
            num_images=state.num_images,
            num_items=state.num_items,
            num_bytes=state.num_bytes,
            skipped=dict(sorted(state.skipped.items())),
            per_source=tuple((images, skipped) for images, skipped in state.per_source),
            changed=dict(sorted(state.changed.items())),
        )

    def _write(self, on_state: Callable[[BuildState], None]) -> None:
        batch: list[Record] = []
        batch_bytes = batch_items = 0
        for outcome in self._outcomes():
            records = self._admit(outcome)
            batch += records
            batch_items += 1
            batch_bytes += sum(record.num_bytes for record in records)
            if batch_bytes >= COMMIT_BYTES or batch_items >= COMMIT_ITEMS:
                self._commit(batch)
                batch, batch_bytes, batch_items = [], 0, 0
            on_state(self._state)
        self._state.complete = True
        self._commit(batch)

    def _commit(self, batch: list[Record]) -> None:
        try:
            try:
                self._state.report_bytes = _flushed(self._lines)
            except OSError as error:
                raise StoreError(f"{fault_of_writing(error, self.report) or error}") from error
            self._writer.commit(self._state.num_images - len(batch), batch, vars(self._state))
        except StoreError as fault:
            raise StoreError(
                f"{fault} All images up to here are safe: run the same command again to continue."
            ) from fault

    def _duplicate_finder(self) -> DuplicateFinder | None:
        if self.plan.options.dedupe == "none":
            return None
        finder = DuplicateFinder(near=self.plan.options.dedupe == "near")
        for path in (*self.known, self.file):
            for meta, _ in PartWriter(path).read_metas():
                finder.add(meta["name"], meta["pixels"], meta.get("perceptual"))
        return finder

    # ------------------------------------------------------------------------------- one candidate at a time

    def _admit(self, outcome: _Outcome) -> list[Record]:
        """The records of a candidate, counted; none when it is skipped, which goes to the report."""
        state, item = self._state, outcome.item
        if outcome.failed_source is not None:
            raise InputError(
                f"Source {self._given(outcome)} failed while reading {item.name}: {outcome.failed_source}. What is "
                "stored is safe; run the same command again to continue when the source is back."
            )
        state.num_items += 1
        bad, label = outcome.bad, b""
        if bad is None:
            try:
                label = label_bytes(self.plan.labeller.schema, self.plan.labeller.label(outcome.source, item))
            except BadImageError as error:
                bad = error.reason, error.detail
        if bad is not None:
            self._leave_out(outcome, item.name, *bad)
            return []
        records = []
        for image in outcome.images:
            name = item.name + image.suffix
            if not self._is_new(outcome, name, image):
                continue
            for change, detail in image.changes.items():
                state.changed[change] = state.changed.get(change, 0) + 1
                self._tell(outcome, name, change, detail, used=True)
            meta: dict[str, Any] = {"name": name, "source": outcome.source, "pixels": image.pixel_hash}
            if image.perceptual_hash is not None:
                meta["perceptual"] = image.perceptual_hash
            if item.attributes:
                meta["attributes"] = dict(item.attributes)
            records.append(Record(image.images, label, meta))
        state.num_images += len(records)
        state.num_bytes += sum(record.num_bytes for record in records)
        state.per_source[outcome.source][0] += len(records)
        return records

    def _is_new(self, outcome: _Outcome, name: str, image: ProcessedImage) -> bool:
        """Whether no earlier image is the same; one that repeats is skipped."""
        if self._finder is None:
            return True
        found = self._finder.find(image.pixel_hash, image.perceptual_hash)
        if found is None:
            self._finder.add(name, image.pixel_hash, image.perceptual_hash)
            return True
        self._leave_out(outcome, name, found[0], f"of {found[1]}")
        return False

    def _leave_out(self, outcome: _Outcome, name: str, reason: str, detail: str) -> None:
        state, limit = self._state, self.max_bad
        if self.stop_on_error and not reason.endswith("duplicate"):
            why = f"{reason} ({detail})" if detail else reason
            raise InputError(
                f"{name} in {self._given(outcome)} cannot be used: {why}. Stopped because of --on-error stop. Repair "
                "or remove the file, or run the same command with --on-error skip to continue."
            )
        state.skipped[reason] = state.skipped.get(reason, 0) + 1
        state.per_source[outcome.source][1] += 1
        self._tell(outcome, name, reason, detail)
        num_bad = sum(count for why, count in state.skipped.items() if not why.endswith("duplicate"))
        if limit is not None and num_bad > (limit if limit >= 1 else max(limit * state.num_items, 100 * limit)):
            allowed = f"{limit:g} files" if limit >= 1 else f"{limit:.3g} of all"
            raise StoreError(
                f"{num_bad} of {state.num_items} files were skipped, more than --max-bad allows ({allowed}). "
                f"The last one: {name}: {reason}. See the reasons in {self.report}, or raise --max-bad and run again "
                "to continue."
            )

    def _tell(self, outcome: _Outcome, name: str, reason: str, detail: str, **more: bool) -> None:
        """Write a line of the report."""
        values = {"source": self._given(outcome), "name": name, "reason": reason, "detail": detail, **more}
        self._lines.write((json.dumps(values, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape"))

    def _given(self, outcome: _Outcome) -> str:
        return self.plan.sources[outcome.source].given

    # -------------------------------------------------------------------------------------------- the workers

    def _outcomes(self) -> Iterator[_Outcome]:
        options = self.plan.image_options
        landmarker = make_landmarker(options.landmarks) if options.parsed_crop.kind == "face" else None
        results = map_in_order(
            _process_chunk,
            _Setup([source.reader() for source in self.plan.sources], options, landmarker),
            self._chunks(),
            workers=self.workers,
            size_of=_chunk_bytes,
            most_bytes=IN_FLIGHT_BYTES,
        )
        try:
            for chunk in results:
                yield from chunk
        finally:
            results.close()  # type: ignore[attr-defined]

    def _chunks(self) -> Iterator[list[tuple[int, Item]]]:
        length = min(max(len(self.candidates) // (8 * self.workers), 1), CHUNK_ITEMS)
        chunk: list[tuple[int, Item]] = []
        for candidate in self._items():
            chunk.append(candidate)
            del candidate  # before the next one is read
            if len(chunk) >= length or _chunk_bytes(chunk) >= CHUNK_BYTES:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _items(self) -> Iterator[tuple[int, Item]]:
        """The candidates that are left; those of a stream are picked from it as it goes by."""
        for number, group in groupby(self.candidates[self._state.num_items :], key=lambda candidate: candidate[0]):
            source = self.plan.sources[number]
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


def _flushed(file: BinaryIO) -> int:
    """The length of a file, all of which was handed to the system."""
    file.flush()
    return file.tell()


def _chunk_bytes(chunk: list[tuple[int, Item]]) -> int:
    """Bytes of the images that a chunk brings along."""
    return sum(len(item.payload) for _, item in chunk if isinstance(item.payload, bytes))


@dataclass(frozen=True)
class _Setup:
    """What workers are sent once."""

    readers: list[Reader]
    options: ImageOptions
    landmarker: Landmarker | None


@dataclass(frozen=True)
class _Outcome:
    """What became of a candidate: images, or why there are none."""

    source: int
    item: Item
    images: Sequence[ProcessedImage] = ()
    bad: tuple[str, str] | None = None
    """Reason and detail; an exception would keep its frames, and images in them, alive."""
    failed_source: str | None = None


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
        return _Outcome(source, kept, process(item.name, payload, setup.options, setup.landmarker))
    except BadImageError as error:
        return _Outcome(source, kept, bad=(error.reason, error.detail))
