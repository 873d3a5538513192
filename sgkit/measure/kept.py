"""The statistics that are kept between runs: what there is, and removing it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sgkit.errors import CheckpointError
from sgkit.metrics.cache import FOLDER_BYTES, LIMIT_VARIABLE, Entry, kept_files, remove_kept
from sgkit.runtime.limits import size_setting
from sgkit.unpickle.npz import read_npz
from sgkit.weights import cache_folder


@dataclass(frozen=True, kw_only=True)
class KeptFile:
    """One file of kept statistics."""

    path: Path
    size: int
    """Bytes."""
    state: str
    """``good`` or ``damaged``; a damaged one is computed again when it is needed."""
    statistic: str = ""
    extractor: str = ""
    """Content id of the network."""
    images: str = ""
    """What it is of: a model, a store or files, by the beginning of the content hash."""
    num_images: int | None = None
    used: str = ""
    """Date and time of its last use, in UTC."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Result of :func:`list_kept` and :func:`clear_kept`."""

    folder: Path
    files: tuple[KeptFile, ...]
    size: int
    """Bytes of all of them."""
    removed: bool = False
    limit: int = FOLDER_BYTES
    """Most bytes that are kept; more are removed by themselves, those that were not used for the longest time first."""


def list_kept() -> Kept:
    """The statistics in the cache, the largest first."""
    return _kept(kept_files(cache_folder("statistics")))


def clear_kept(*, unused_for: float | None = None, most_bytes: int | None = None) -> Kept:
    """Remove statistics from the cache; what was removed.

    Args:
        unused_for: only those that were not used for this many seconds.
        most_bytes: only until this many bytes are left, those that were not used for the longest time first. Without
            either, all are removed.
    """
    if unused_for is None and most_bytes is None:
        most_bytes = 0
    known = {one.path: one for one in list_kept().files}  # before they are gone
    removed = remove_kept(cache_folder("statistics"), most_bytes=most_bytes, unused_for=unused_for)
    return _kept((one for one in removed if one.path in known), known=known, removed=True)


def _kept(entries: Iterable[Entry], *, known: Mapping[Path, KeptFile] | None = None, removed: bool = False) -> Kept:
    files = [known[one.path] if known else _described(one) for one in entries]
    files.sort(key=lambda one: (-one.size, one.path))
    return Kept(
        folder=cache_folder("statistics"),
        files=tuple(files),
        size=sum(one.size for one in files),
        removed=removed,
        limit=size_setting(LIMIT_VARIABLE, FOLDER_BYTES),
    )


def _described(entry: Entry) -> KeptFile:
    path, size = entry.path, entry.size
    used = datetime.fromtimestamp(entry.used, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        key = json.loads(str(read_npz(path, verify=False)["key"]))
        images = key["images"]
        kind = next(name for name in ("model", "store", "files") if name in images)
        return KeptFile(
            path=path,
            size=size,
            state="good",
            statistic=str(key["statistic"]),
            extractor=str(key["extractor"]),
            images=f"{kind} {str(images[kind])[:12]}",
            num_images=int(images["num"]),
            used=used,
        )
    except (CheckpointError, OSError, ValueError, KeyError, TypeError, StopIteration):
        return KeptFile(path=path, size=size, state="damaged", used=used)
