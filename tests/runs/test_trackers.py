from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sgkit.errors import MissingDependencyError
from sgkit.runs.trackers import TensorBoardTracker, WandbTracker


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a stand-in for the package ``wandb`` is told."""
    calls: list[Any] = []
    run = SimpleNamespace(
        log=lambda values: calls.append(values),
        define_metric=lambda name, step_metric: calls.append((name, step_metric)),
        finish=lambda: calls.append("finish"),
    )

    def init(**options: Any) -> Any:
        calls.append(options)
        return run

    module = SimpleNamespace(init=init, Image=lambda pixels: ("image", pixels.shape))
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


def test_weights_and_biases_is_told_everything_by_kimg(tmp_path: Path, told: list[Any]) -> None:
    tracker = WandbTracker(tmp_path / "run", project="faces", config={"preset": "x"})
    tracker.scalars({"loss_g": 0.5}, images=1500)
    tracker.picture("fakes", np.zeros((4, 6, 3), np.uint8), images=2000)
    tracker.rewind(1000)
    tracker.close()
    options, *rest = told
    assert (options["project"], options["name"], options["resume"]) == ("faces", "run", "allow")
    assert options["config"] == {"preset": "x"}
    assert rest == [
        ("*", "kimg"),
        {"kimg": 1.5, "loss_g": 0.5},
        {"kimg": 2.0, "fakes": ("image", (4, 6, 3))},
        "finish",
    ]
    WandbTracker(tmp_path / "run", project="faces", config={})
    WandbTracker(tmp_path / "other", project="faces", config={})
    ids = [call["id"] for call in told if isinstance(call, dict) and "id" in call]
    assert ids[0] == ids[1] != ids[2]  # a resumed run goes on there, too


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingDependencyError, match=r"needs the package 'wandb'. Install it with 'pip install wandb'"):
        WandbTracker.check()
    with pytest.raises(MissingDependencyError, match="leave --wandb out"):
        WandbTracker(tmp_path, project="faces", config={})
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_begins_another_file_when_a_run_goes_back(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.scalars({"loss_g": 0.5}, images=16)
    tracker.rewind(8)
    tracker.scalars({"loss_g": 0.4}, images=16)
    tracker.close()
    files = sorted(tmp_path.glob("events.out.tfevents.*"))
    assert len(files) == 2
    assert all(b"loss_g" in file.read_bytes() for file in files)
