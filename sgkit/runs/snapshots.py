"""Snapshots on disk: what one holds, whether it is whole, how good it is, and which of them stay.

A snapshot is a folder with ``model.safetensors`` (the networks), ``state.safetensors`` (what else training needs) and
``snapshot.json``, which was written last and knows the size and SHA-256 of both; ``metrics.json`` joins them when the
snapshot has been measured.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sgkit.config import KeepConfig
from sgkit.config.metrics import ranking
from sgkit.metrics.values import MetricValue
from sgkit.runtime.files import atomic_path, sha256_of, utf8_name

MANIFEST, METRICS = "snapshot.json", "metrics.json"
FORMAT = "sgkit-snapshot"


@dataclass(frozen=True, order=True)
class Snapshot:
    """A snapshot on disk."""

    images: int
    folder: Path

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / "model.safetensors"

    @property
    def state(self) -> Path:
        """The training state file."""
        return self.folder / "state.safetensors"

    @property
    def kimg(self) -> float:
        """Thousands of images shown before it."""
        return self.images / 1000.0


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best snapshot by a metric."""

    snapshot: Snapshot
    metric: str
    value: float


def write_manifest(snapshot: Snapshot) -> None:
    """Write sizes and checksums of the snapshot's files: the last step before the snapshot is renamed."""
    paths = sorted(snapshot.folder.iterdir())
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in paths}
    text = json.dumps({"format": FORMAT, "version": 1, "images": snapshot.images, "files": files}, indent=1) + "\n"
    (snapshot.folder / MANIFEST).write_text(text, encoding="utf-8")


def damage(snapshot: Snapshot) -> str | None:
    """What is wrong with the files of a snapshot, in a few words; ``None``: nothing. Reads all of them.

    A snapshot of an older sgkit has no checksums; there only what cannot be opened is found.
    """
    for path in (snapshot.model, snapshot.state):
        if not path.is_file():
            return f"{path.name} is missing"
    try:
        manifest = json.loads((snapshot.folder / MANIFEST).read_text(encoding="utf-8"))
        wanted = {name: (int(facts["bytes"]), str(facts["sha256"])) for name, facts in manifest["files"].items()}
    except FileNotFoundError:
        return _unreadable(snapshot.model) or _unreadable(snapshot.state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    for path in (snapshot.model, snapshot.state):
        problem = _differs(path, wanted.get(path.name))
        if problem:
            return problem
    return None


def write_metrics(snapshot: Snapshot, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Write the metrics of a snapshot into its folder; the first one ranks snapshots."""
    with atomic_path(snapshot.folder / METRICS) as temporary:
        temporary.write_text(json.dumps({"metrics": list(metrics)}, indent=1) + "\n", encoding="utf-8")


def measured(snapshot: Snapshot) -> dict[str, float]:
    """Metric -> value of a snapshot, as far as it was measured."""
    return {metric["name"]: metric["value"] for metric in read_metrics(snapshot)}


def read_metrics(snapshot: Snapshot) -> list[dict[str, Any]]:
    """What :func:`write_metrics` wrote for a snapshot; empty where it was not measured, or the file is damaged."""
    try:
        found = json.loads((snapshot.folder / METRICS).read_text(encoding="utf-8"))["metrics"]
        return [{**metric, "name": str(metric["name"]), "value": float(metric["value"])} for metric in found]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def metric_facts(values: Iterable[MetricValue]) -> list[dict[str, Any]]:
    """Values of metrics as ``metrics.json`` holds them."""
    return [
        {"name": v.name, "value": v.value, "std": v.std, "num_images": v.num_images, "num_data": v.num_data}
        for v in values
    ]


def best_of(snapshots: Iterable[Snapshot], metric: str) -> Best | None:
    """The best snapshot by ``metric``, the older of equals; ``None`` where none was measured."""
    name, better = ranking(metric)
    known = [(measured(snapshot).get(name, math.nan), snapshot) for snapshot in snapshots]
    sign = -1 if better == "higher" else 1
    ranked = sorted((sign * value, snapshot) for value, snapshot in known if math.isfinite(value))
    return Best(snapshot=ranked[0][1], metric=name, value=sign * ranked[0][0]) if ranked else None


def removable(snapshots: Sequence[Snapshot], keep: KeepConfig, best: Best | None) -> list[Snapshot]:
    """Those of ``snapshots`` that are neither among the newest nor the best."""
    older = sorted(snapshots)[: -keep.last] if keep.last is not None else []
    return [snapshot for snapshot in older if not (keep.best and best is not None and snapshot == best.snapshot)]


def remove(snapshot: Snapshot) -> None:
    """Delete a snapshot: first its name, then its files, so that a kill leaves no part under a snapshot's name."""
    aside = snapshot.folder.with_name(f".{snapshot.folder.name}.removed")
    shutil.rmtree(aside, ignore_errors=True)
    snapshot.folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _differs(path: Path, wanted: tuple[int, str] | None) -> str | None:
    if wanted is None:
        return f"{MANIFEST} does not know {path.name}"
    try:
        if path.stat().st_size != wanted[0]:
            return f"{path.name} has {path.stat().st_size} bytes instead of {wanted[0]}"
        return None if sha256_of(path) == wanted[1] else f"{path.name} has changed since it was written"
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"


def _unreadable(path: Path) -> str | None:
    try:
        with utf8_name(path) as utf8_path, safe_open(utf8_path, framework="pt"):
            return None
    except (SafetensorError, OSError) as error:
        return f"{path.name} cannot be read ({error})"
