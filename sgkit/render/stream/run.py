"""Drawing an image tile by tile into a file, continued where an earlier call of the same was stopped."""

from __future__ import annotations

import errno
import hashlib
import math
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

import sgkit
from sgkit.errors import InputError, ResourceError, SgkitError
from sgkit.render.files import KEY, png_bytes, scene_text, sidecar, write_sheet
from sgkit.render.scene import Sheet
from sgkit.render.stream.deepzoom import OWN, DeepZoomWriter
from sgkit.render.stream.journal import ForeignJournalError, Journal
from sgkit.render.stream.plane import Box, Plane, Tiling
from sgkit.render.stream.writers import PngWriter, TiffWriter, Writer, part_of
from sgkit.runtime.allocator import bound_primitive_cache, release_freed_memory
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import check_new, fault_of_writing, flush, make_way, partial
from sgkit.runtime.limits import size_of
from sgkit.runtime.locks import LockedError, exclusive
from sgkit.runtime.outputs import check_streamed
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

OnNote = Callable[[str], None]
"""Takes a sentence for the user."""
FINISHED = "finished"
"""The part that stands for the whole file."""
TRIM = 16
"""Tiles after which freed memory is given back."""
_MARGIN = 1.2
"""How much worse other tiles may compress than the first one."""


def ignore_note(text: str) -> None:
    """The default callback: tells nobody."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What an image will take, by its first tile."""

    megapixels: float
    tiles: int
    seconds: float
    bytes: int

    def __str__(self) -> str:
        minutes = self.seconds / 60
        time_text = f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{minutes:.0f} minutes"
        time_text = time_text if self.seconds >= 90 else f"{max(self.seconds, 1):.0f} s"
        return f"{self.megapixels:,.1f} megapixels in {self.tiles:,} tiles, {size_of(self.bytes)}, about {time_text}"


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """What was written."""

    file: Path
    width: int
    height: int
    tile: int
    tiles: int
    resumed: int
    """Tiles that an earlier call had finished."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is drawn where."""

    plane: Plane
    target: Path
    writer: Writer
    journal: Journal
    context: DistributedContext
    on_progress: OnProgress
    on_note: OnNote
    kept: set[int] = field(default_factory=set)

    @property
    def tiling(self) -> Tiling:
        return self.writer.tiling


def stream(
    plane: Plane,
    path: str | Path,
    sheet: Sheet,
    *,
    tile: int,
    context: DistributedContext | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
    on_note: OnNote = ignore_note,
) -> StreamResult:
    """Draw ``plane`` into ``path`` (:data:`sgkit.runtime.outputs.STREAMED`) tile by tile, carrying ``sheet``.

    Whatever ends the process, finished tiles are kept in ``PATH.partial``, and the same call continues there to the
    same bytes. All processes of ``context`` call it and share the tiles; any number of them writes the same file.

    Raises:
        UsageError: unknown extension, or ``tile`` is not a multiple of 16.
        InputError: ``path`` exists, or another process is writing it.
        ResourceError: the disk is full, or has too little room.
    """
    began, target, context = time.perf_counter(), Path(path), context or DistributedContext()
    check_streamed(target)
    tiling = Tiling(height=plane.height, width=plane.width, channels=plane.channels, tile=tile)
    folder = partial(target)
    kind = _kind(target)
    job = _Job(
        plane=plane,
        target=target,
        writer=kind(folder, tiling, sheet),
        journal=Journal(folder, _key(sheet, tiling, kind, context.device), rank=context.rank),
        context=context,
        on_progress=on_progress,
        on_note=on_note,
    )
    bound_primitive_cache()
    with _kept_whatever_happens(job), ExitStack() as held:
        if not _begin(job, held, overwrite=overwrite):
            _draw(job)
            job.writer.finish(job.journal, context.rank, context.world_size, context.barrier)
            context.barrier()
            if context.is_main:
                _complete(job)
        context.barrier()
    return StreamResult(
        file=target,
        width=tiling.width,
        height=tiling.height,
        tile=tile,
        tiles=tiling.count,
        resumed=len(job.kept),
        seconds=time.perf_counter() - began,
    )


def _kind(path: Path) -> type[Writer]:
    kinds: dict[str, type[Writer]] = {".png": PngWriter, ".tif": TiffWriter, ".tiff": TiffWriter}
    return kinds.get(path.suffix.lower(), DeepZoomWriter)


def _key(sheet: Sheet, tiling: Tiling, kind: type[Writer], device: torch.device) -> dict[str, str]:
    """What finished tiles belong to. Where a model's file is does not matter; its content does."""
    scenes = tuple(
        scene.changed(models={name: ref.changed(path=None) for name, ref in scene.models.items()})
        for scene in sheet.filled
    )
    return {
        "scene": hashlib.sha256(sheet.changed(scenes=scenes).to_json().encode()).hexdigest(),
        "size": f"{tiling.width}x{tiling.height}",
        "tile size": str(tiling.tile),
        "format": kind.__name__,
        "device": device.type,
        "version of sgkit": sgkit.__version__,
        "version of torch": torch.__version__,
        "version of zlib": zlib.ZLIB_RUNTIME_VERSION,
    }


# ---------------------------------------------------------------------------------------- begin and end


def _begin(job: _Job, held: ExitStack, *, overwrite: bool) -> bool:
    """Find what is finished; whether that is everything, the file in its place included."""
    is_done = False
    if job.context.is_main:
        is_done = _resume(job, held, overwrite=overwrite)
    found: tuple[bool, set[int]] = job.context.gather_objects((is_done, job.kept))[0]
    is_done = found[0]
    job.kept.update(found[1])
    if not is_done and not job.context.is_main:
        job.journal.read()
    return is_done


def _resume(job: _Job, held: ExitStack, *, overwrite: bool) -> bool:
    folder = partial(job.target)
    check_new(job.target, overwrite=overwrite, resumable=True)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held.enter_context(exclusive(folder / "lock"))
    except LockedError as error:
        raise InputError(
            f"{job.target} is being written by {error.holder}. Wait for it, or choose another name."
        ) from None
    try:
        job.journal.read()
    except ForeignJournalError as error:
        job.on_note(f"{folder} cannot be continued: {error}. Starting again from the first tile.")
        _clear(folder)
    if FINISHED in job.journal.done and not job.writer.made.exists() and job.target.exists():
        shutil.rmtree(folder)  # killed between the last two steps
        return True
    check_new(job.target, overwrite=overwrite)
    _check_room(job, job.writer.bytes_for(0.0))
    job.writer.prepare()
    job.kept.update(job.writer.kept(job.journal))
    if job.kept:
        job.on_note(f"Continuing {job.target}: {len(job.kept):,} of {job.tiling.count:,} tiles are finished.")
    return False


def _clear(folder: Path) -> None:
    """Remove everything but the lock, which this process holds."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != "lock":
            entry.unlink()


def _complete(job: _Job) -> None:
    made, target = job.writer.made, job.target
    for entry in made.rglob("*") if made.is_dir() else (made,):
        flush(entry)
    job.journal.add(FINISHED)
    if target.is_dir():
        make_way(target, made, re.compile(OWN))
    made.replace(target)
    flush(target.parent)
    if target.is_file() and KEY not in scene_text(job.writer.sheet):
        write_sheet(job.writer.sheet, sidecar(target))
    job.journal.close()
    shutil.rmtree(partial(target))


@contextmanager
def _kept_whatever_happens(job: _Job) -> Iterator[None]:
    """Say what is kept and how to continue when the block is left by an error or a signal."""
    try:
        yield
    except BaseException as error:
        job.journal.close()
        done = sum(part.startswith("tile ") for part in job.journal.done)
        kept = f"{done:,} of {job.tiling.count:,} tiles are kept in {partial(job.target)}"
        fault = None if isinstance(error, SgkitError) or not isinstance(error, Exception) else _fault(error, job)
        if fault is not None:
            missing = size_of(max(_missing_bytes(job), 1))
            raise ResourceError(
                f"{fault} About {missing} more are needed. {kept}; give the same command again to continue.",
                number=fault.errno,
            ) from error
        if done and not isinstance(error, SgkitError):
            job.on_note(f"{kept}. Give the same command again to continue.")
        raise


def _fault(error: Exception, job: _Job) -> ResourceError | None:
    if isinstance(error, OSError):
        names = [Path(name) for name in (error.filename, error.filename2) if name]
        if any(partial(job.target) in name.parents for name in names):
            error = OSError(error.errno, error.strerror)  # without the name of a temporary file
    return fault_of_writing(error, job.target)


# ------------------------------------------------------------------------------------------------ tiles


def _draw(job: _Job) -> None:
    writer, tiling, context = job.writer, job.tiling, job.context
    step = math.ceil(context.world_size / tiling.columns)  # rows of tiles that keep every process busy
    meter = _Meter(job)
    for first in range(0, tiling.rows, step):
        rows = range(first, min(first + step, tiling.rows))
        todo = [box for row in rows for box in tiling.row_of(row) if box.number not in job.kept]
        for box in todo[context.rank :: context.world_size]:
            _tile(job, box, meter)
        context.barrier()  # all formats, so that none waits for the others longer than torch lets it
        for row in rows if context.is_main else ():
            writer.close_row(row, job.journal)


def _tile(job: _Job, box: Box, meter: _Meter) -> None:
    began = time.perf_counter()
    pixels = job.plane.window(box.top, box.left, box.height, box.width)
    job.journal.add(part_of(box), job.writer.put(box, pixels))
    if meter.count == 0 and job.context.is_main:
        share = min(len(png_bytes(pixels)) / pixels.nbytes * _MARGIN, 1.0)
        _tell_estimate(job, time.perf_counter() - began, pixels.shape[0] * pixels.shape[1], share)
    meter.add(box)
    if meter.count % TRIM == 0:
        release_freed_memory()


def _tell_estimate(job: _Job, seconds: float, pixels: int, share: float) -> None:
    left = (job.tiling.count - len(job.kept)) / job.tiling.count
    estimate = Estimate(
        megapixels=job.tiling.megapixels,
        tiles=job.tiling.count,
        seconds=seconds / pixels * job.tiling.megapixels * 1e6 * left / job.context.world_size,
        bytes=job.writer.bytes_for(share),
    )
    job.on_note(f"{job.target}: {job.tiling.width}x{job.tiling.height} pixels, {estimate}.")
    _check_room(job, estimate.bytes)


def _check_room(job: _Job, needed: int) -> None:
    """Check that the disk has room for ``needed`` bytes, with what is there.

    Raises:
        ResourceError: it has not.
    """
    missing = needed - _bytes_in(partial(job.target))
    free = shutil.disk_usage(partial(job.target)).free
    if missing > free:
        raise ResourceError(
            f"{job.target} needs about {size_of(needed)}, of which {size_of(missing)} are still to be written, and the "
            f"disk has {size_of(free)} free. Free some space and give the same command again, or choose another disk.",
            number=errno.ENOSPC,
        )


def _missing_bytes(job: _Job) -> int:
    return job.writer.bytes_for(1.0) - _bytes_in(partial(job.target))


def _bytes_in(folder: Path) -> int:
    return sum(entry.lstat().st_size for entry in folder.rglob("*") if entry.is_file())


class _Meter:
    """Tells the progress of all processes by that of this one."""

    def __init__(self, job: _Job) -> None:
        self._job, self.count = job, 0
        area = job.tiling.tile**2 / 1e6
        self._before, self._total = len(job.kept) * area, job.tiling.megapixels

    def add(self, box: Box) -> None:
        """A tile is finished."""
        self.count += 1
        done = self._before + self.count * self._job.context.world_size * self._job.tiling.tile**2 / 1e6
        self._job.on_progress(Progress(done=min(done, self._total), total=self._total, unit="megapixels"))
