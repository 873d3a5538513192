"""The run folder: its files, its configuration, its snapshots.

``config.toml``, ``log.jsonl``, TensorBoard events, ``images/``, ``report.html``, and ``snapshots/<kimg>/`` as
:mod:`sgkit.runs.snapshots` has them. A snapshot's folder has its name only when it is whole. ``best.json`` names
the best one; a damaged one is moved to ``damaged/``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sgkit.config import KeepConfig
from sgkit.errors import ConfigError, InputError, TrainingError
from sgkit.faults import explain
from sgkit.runs.config import RunConfig
from sgkit.runs.snapshots import Best, Snapshot, best_of, removable, remove, write_manifest
from sgkit.runtime import locks
from sgkit.runtime.detect import detect
from sgkit.runtime.file_kinds import PHRASES
from sgkit.runtime.files import atomic_directory, atomic_path, is_temporary
from sgkit.runtime.toml import read_toml, to_toml

LOCK_NAME = ".lock"
STORE_NAME = "store"
"""Folder of the store of a run that is trained on a folder of images: they are prepared before the run begins."""
_BEFORE = (LOCK_NAME, STORE_NAME, f"{STORE_NAME}.png")
"""What may be in the folder of a new run: the store, and its contact sheet."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The configuration."""
        return self.path / "config.toml"

    @property
    def reals_file(self) -> Path:
        """A grid of training images."""
        return self.path / "images" / "reals.png"

    @property
    def report_file(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    @property
    def best_file(self) -> Path:
        """The name of the best snapshot; not there before one was measured."""
        return self.path / "best.json"

    def fakes_file(self, images: int) -> Path:
        """The sample grid at a number of images."""
        return self.path / "images" / f"fakes_{kimg_name(images)}.png"

    def snapshots(self) -> list[Snapshot]:
        """Whole snapshots, the oldest first."""
        folders = (self.path / "snapshots").glob("*")
        names = [(re.fullmatch(r"(\d+)\.(\d{3})", folder.name), folder) for folder in folders]
        return sorted(Snapshot(int(match[1] + match[2]), folder) for match, folder in names if match)

    def snapshot_at(self, images: int) -> Snapshot:
        """Where the snapshot at a number of images is, or will be."""
        return Snapshot(images, self.path / "snapshots" / kimg_name(images))

    def drop_fakes_beyond(self, images: int) -> None:
        """Remove the sample grids of steps after ``images``: the run continues from there."""
        for file in self.reals_file.parent.glob("fakes_*.png"):
            if file.name > self.fakes_file(images).name:
                file.unlink(missing_ok=True)

    def write_snapshot(self, images: int, write: Callable[[Snapshot], None]) -> None:
        """Have ``write`` make the files of the snapshot at ``images``; its folder appears when they are whole."""
        with atomic_directory(self.snapshot_at(images).folder) as temporary:
            write(Snapshot(images, temporary))
            write_manifest(Snapshot(images, temporary))

    def mark_best(self, metric: str | None) -> Best | None:
        """The best snapshot by ``metric``, after writing its name to ``best.json``; ``None``: none was measured."""
        best = None if metric is None else best_of(self.snapshots(), metric)
        if best is None:
            self.best_file.unlink(missing_ok=True)
            return None
        facts = {"snapshot": best.snapshot.folder.name, "metric": best.metric, "value": best.value}
        with atomic_path(self.best_file) as temporary:
            temporary.write_text(json.dumps(facts | {"kimg": best.snapshot.kimg}, indent=1) + "\n", encoding="utf-8")
        return best

    def prune(self, keep: KeepConfig, best: Best | None) -> list[Snapshot]:
        """Remove the snapshots that ``keep`` does not keep; which these were."""
        gone = removable(self.snapshots(), keep, best)
        for snapshot in gone:
            remove(snapshot)
        return gone

    def set_aside(self, snapshot: Snapshot) -> Path:
        """Move a damaged snapshot to ``damaged/``; its new path."""
        target = self.path / "damaged" / snapshot.folder.name
        count = 1
        while target.exists():
            count += 1
            target = target.with_name(f"{snapshot.folder.name}-{count}")
        target.parent.mkdir(exist_ok=True)
        snapshot.folder.rename(target)
        return target

    def clear_leftovers(self) -> None:
        """Remove what is left of snapshots that were being written or removed when a run was killed."""
        for folder in (self.path / "snapshots").glob(".*"):
            if is_temporary(folder.name) or re.fullmatch(r"\.\d+\.\d{3}\.removed", folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, which is made if it is not there (and removed if nothing was written into it).

        Raises:
            TrainingError: another process trains in it; nothing was touched.
            InputError: the folder cannot be made or written to.
        """
        is_new = not self.path.is_dir()
        try:
            with ExitStack() as lock:
                try:
                    self.path.mkdir(parents=True, exist_ok=True)
                    lock.enter_context(locks.exclusive(self.path / LOCK_NAME))
                except locks.LockedError as error:
                    raise TrainingError(
                        f"{self.path} is in use: {error.holder} is training in it. Wait for it, or stop it; then "
                        "continue the run with --resume. To train something else, name a different folder with --out."
                    ) from None
                except OSError as error:
                    fault = explain(OSError(error.errno, error.strerror))
                    raise InputError(
                        f"Cannot write to the run folder {self.path}: {fault.text if fault else error}. Make it "
                        "writable, or name a different folder with --out."
                    ) from None
                yield
        finally:
            if is_new:
                with suppress(OSError):  # it is not empty
                    self.path.rmdir()

    def check_new(self) -> None:
        """Refuse a folder that holds anything.

        Raises:
            InputError: it does; says how to continue a run.
        """
        if self.path.is_file():
            raise InputError(f"{self.path} is {self._kind()}. Name a new folder for the run with --out.")
        if self.config_file.exists():
            raise InputError(f"{self.path} holds a run already. Add --resume to continue it, or name a new folder.")
        if self.path.is_dir() and any(entry.name not in _BEFORE for entry in self.path.iterdir()):
            if any(self.snapshots()):
                raise InputError(
                    f"{self.path} holds snapshots but no config.toml, so it cannot be resumed. Put config.toml back "
                    "from a copy, or name a new folder for the run."
                )
            raise InputError(
                f"Not a run folder: {self.path} is {self._kind()}. Nothing was changed. Name a new folder for the run "
                "with --out."
            )

    def _kind(self) -> str:
        """What is at the path, in words."""
        return PHRASES[detect(self.path).kind]

    def write_config(self, config: RunConfig) -> None:
        """Put ``config`` into ``config.toml``."""
        with atomic_path(self.config_file) as temporary:
            temporary.write_text(to_toml(config.to_dict()), encoding="utf-8")

    def read_config(self) -> RunConfig:
        """What :meth:`write_config` wrote, perhaps edited by hand since.

        Raises:
            InputError: the folder holds no run.
            ConfigError: the file is not TOML, or a key or value in it is not allowed.
        """
        if not self.config_file.is_file():
            raise InputError(f"{self.path} holds no run to resume (no config.toml). To start one, leave --resume out.")
        values = read_toml(self.config_file)
        try:
            return RunConfig.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{self.config_file} cannot be used: {error}") from None


def kimg_of(kimg: float, total_kimg: float) -> str:
    """``12 of 100 kimg``; of a complete run, whose last step may go beyond its end, what it has done."""
    return f"{kimg:g} of {total_kimg:g} kimg" if kimg < total_kimg else f"{kimg:g} kimg"


def kimg_name(images: int) -> str:
    """Thousands of images as names count them, sortable and exact: 20032 -> ``000020.032``."""
    return f"{images // 1000:06d}.{images % 1000:03d}"
