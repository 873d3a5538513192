from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sgkit.config import KeepConfig
from sgkit.runs.folder import RunFolder
from sgkit.runs.snapshots import Best, Snapshot, best_of, damage, measured, removable, remove, write_metrics


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Snapshots at 0, 10, 20 and 30 kimg."""
    run = RunFolder(tmp_path)

    def write(snapshot: Snapshot) -> None:
        for path in (snapshot.model, snapshot.state):
            save_file({"x": torch.full((4,), float(snapshot.images))}, path)

    for kimg in (0, 10, 20, 30):
        run.write_snapshot(kimg * 1000, write)
    return run


def test_whole_snapshots_have_no_damage(folder: RunFolder) -> None:
    assert [damage(snapshot) for snapshot in folder.snapshots()] == [None] * 4


def test_what_the_manifest_does_not_know_is_damage(folder: RunFolder) -> None:
    snapshot = folder.snapshots()[0]
    (snapshot.folder / "snapshot.json").write_text('{"files": {"model.safetensors": {"bytes": 1}}}')
    assert damage(snapshot) == "snapshot.json cannot be read"
    (snapshot.folder / "snapshot.json").write_text('{"files": {}}')
    assert damage(snapshot) == "snapshot.json does not know model.safetensors"


def test_the_smallest_value_is_best_and_the_older_of_equals(folder: RunFolder) -> None:
    snapshots = folder.snapshots()
    assert best_of(snapshots, "fid") is None
    for snapshot, value in zip(snapshots, (9.0, 3.0, float("nan"), 3.0), strict=True):
        write_metrics(snapshot, [{"name": "fid", "value": value}, {"name": "kid", "value": -value}])
    assert best_of(snapshots, "fid") == Best(snapshot=snapshots[1], metric="fid", value=3.0)
    assert best_of(snapshots, "kid").snapshot == snapshots[0]
    assert best_of(snapshots, "other") is None
    assert measured(snapshots[0]) == {"fid": 9.0, "kid": -9.0}
    (snapshots[1].folder / "metrics.json").write_text("[]")
    assert measured(snapshots[1]) == {}


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (KeepConfig(), []),
        (KeepConfig(last=1), [10, 20]),
        (KeepConfig(last=1, best=False), [0, 10, 20]),
        (KeepConfig(last=3), []),
        (KeepConfig(last=9), []),
    ],
)
def test_the_newest_and_the_best_stay(folder: RunFolder, keep: KeepConfig, gone: list[int]) -> None:
    snapshots = folder.snapshots()
    best = Best(snapshot=snapshots[0], metric="fid", value=1.0)
    assert [snapshot.kimg for snapshot in removable(snapshots, keep, best)] == gone


def test_removing_begins_with_the_name(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, *, ignore_errors: bool) -> None:
        if path.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("sgkit.runs.snapshots.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(folder.snapshots()[1])
    monkeypatch.undo()
    assert [snapshot.kimg for snapshot in folder.snapshots()] == [0, 20, 30]
    folder.clear_leftovers()
    assert sorted(path.name for path in (folder.path / "snapshots").iterdir()) == [
        "000000.000",
        "000020.000",
        "000030.000",
    ]


def test_damaged_snapshots_are_moved_where_nothing_else_is(folder: RunFolder) -> None:
    last = folder.snapshots()[-1]
    first_place = folder.set_aside(last)
    folder.write_snapshot(last.images, lambda snapshot: snapshot.model.write_text("x"))
    assert (first_place.name, folder.set_aside(last).name) == ("000030.000", "000030.000-2")
    assert [snapshot.kimg for snapshot in folder.snapshots()] == [0, 10, 20]
