"""The statistics that are kept between runs: what there is, and removing it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sgkit.errors import CheckpointError
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


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Result of :func:`list_kept` and :func:`clear_kept`."""

    folder: Path
    files: tuple[KeptFile, ...]
    size: int
    """Bytes of all of them."""
    removed: bool = False


def list_kept() -> Kept:
    """The statistics in the cache, the largest first."""
    folder = cache_folder("statistics")
    paths = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    files = sorted((_described(path) for path in paths), key=lambda one: (-one.size, one.path))
    return Kept(folder=folder, files=tuple(files), size=sum(one.size for one in files))


def clear_kept() -> Kept:
    """Remove the statistics in the cache; what there was."""
    found = list_kept()
    for one in found.files:
        one.path.unlink(missing_ok=True)  # another process may remove it at the same time
    return Kept(folder=found.folder, files=found.files, size=found.size, removed=True)


def _described(path: Path) -> KeptFile:
    size = path.stat().st_size
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
        )
    except (CheckpointError, OSError, ValueError, KeyError, TypeError, StopIteration):
        return KeptFile(path=path, size=size, state="damaged")
