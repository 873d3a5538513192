"""Runs that diverge, and what each policy makes of it. The trouble is put in; nothing else is pretended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sgkit.runs.folder import RunFolder
from sgkit.training import step
from sgkit.training.health import HealthWatch
from sgkit.training.loop import TrainReport
from tests.runs.driver import Cli

Poison = Callable[[int, int], None]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Make the loss of G no number for so many times, from some number of images on."""
    left = {"images": 0, "times": 0}
    loss, run = step.g_loss, step.TrainingStep.run

    def spoilt(*args: Any) -> torch.Tensor:
        good = loss(*args)
        if left["now"] and left["times"] > 0:
            left["times"] -= 1
            return good * float("nan")
        return good

    def watched(self: step.TrainingStep, shards: Any) -> dict[str, float]:
        left["now"] = self.state.images >= left["images"]
        return run(self, shards)

    monkeypatch.setattr(step, "g_loss", spoilt)
    monkeypatch.setattr(step.TrainingStep, "run", watched)
    return lambda images, times: left.update(images=images, times=times)


def test_going_back_lowers_the_rates_for_the_rest_of_the_run(tmp_path: Path, cli: Cli, poison: Poison) -> None:
    run, later = tmp_path / "run", tmp_path / "later"
    poison(24, 1)
    assert cli.new(run, "--kimg", "0.040") == 0
    said = cli.said()
    assert "Warning: At 0.016 kimg: Rolled back from 0.024 to 0.016 kimg, with learning rates 0.5 times" in said
    assert "is not finite" in said
    lines = cli.log(run)
    [event] = [line for line in lines if "event" in line]
    assert (event["event"], event["images"], event["from_kimg"], event["lr_factor"]) == ("rollback", 16, 0.024, 0.5)
    factors = {line["images"]: line["lr_factor"] for line in lines if "step" in line}
    assert factors == {8: 1.0, 16: 1.0, 24: 0.5, 32: 0.5, 40: 0.5}
    assert "rollback" in (run / "report.html").read_text()

    # Killed right after it went back, it goes on with the lowered rates: the log knows of them.
    poison(24, 1)
    assert cli.new(later, "--kimg", "0.024") == 0
    folder = RunFolder(later)
    folder.snapshots()[-1].folder.rename(later / "snapshots" / ".000000.024.aside")
    assert cli.resume(later, "--kimg", "0.040") == 0
    assert cli.same(run, later)


def test_a_run_goes_back_only_so_often(tmp_path: Path, cli: Cli, poison: Poison) -> None:
    poison(8, 99)
    assert cli.new(tmp_path / "run", "--kimg", "0.040", "--set", "health.max_rollbacks=2") == 1
    said = cli.said()
    assert said.count("Rolled back from 0.008 to 0 kimg") == 2
    assert "with learning rates 0.25 times" in said
    assert "Error: At 0.008 kimg" in said
    assert "has already been rolled back 2 times (health.max_rollbacks), so it stops." in said


def test_stopping_leaves_the_last_snapshot(tmp_path: Path, cli: Cli, poison: Poison) -> None:
    poison(24, 1)
    assert cli.new(tmp_path / "run", "--kimg", "0.040", "--set", "health.nonfinite=stop") == 1
    assert "is not finite" in cli.said()
    assert cli.names(tmp_path / "run") == ["000000.000", "000000.016"]


def test_a_skipped_update_is_told(tmp_path: Path, cli: Cli, poison: Poison) -> None:
    run = tmp_path / "run"
    poison(24, 1)
    assert cli.new(run, "--kimg", "0.040", "--set", "health.nonfinite=skip") == 0
    events = cli.log(run, key="event")
    assert [(event["event"], event["images"]) for event in events] == [("skipped update", 32)]
    assert "Warning: At 0.032 kimg:" in cli.said()


@pytest.fixture
def saturated(monkeypatch: pytest.MonkeyPatch) -> None:
    """D always tells real from generated."""
    add = HealthWatch.add

    def told(self: HealthWatch, report: TrainReport) -> Any:
        values = report.values | {"sign_real": 1.0, "sign_fake": -1.0}
        return add(self, replace(report, values=values))

    monkeypatch.setattr(HealthWatch, "add", told)


@pytest.mark.usefixtures("saturated")
@pytest.mark.parametrize(
    ("policy", "code", "events"),
    [
        ("warn", 0, ["discriminator saturated"]),
        ("rollback", 1, ["rollback"]),
        ("stop", 1, ["discriminator saturated"]),
    ],
)
def test_signs_of_collapse_are_dealt_with_as_configured(
    tmp_path: Path, cli: Cli, policy: str, code: int, events: list[str]
) -> None:
    run = tmp_path / "run"
    settings = {"health.collapse": policy, "health.window_kimg": 0.024, "health.max_rollbacks": 1}
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert cli.new(run, "--kimg", "0.040", *options) == code
    said = cli.said()
    assert "discriminator saturated: D tells real from generated images every time (mean signs 1.000" in said
    found = [line["event"] for line in cli.log(run) if "event" in line]
    assert found[: len(events)] == events
    if policy == "stop":
        assert "continue all the same with --set health.collapse=warn" in said


@pytest.mark.usefixtures("saturated")
def test_a_window_of_the_watch_goes_on_over_a_resumption(tmp_path: Path, cli: Cli) -> None:
    """Windows of 24 images, stopped after 16: the trouble is told at 24, not at 40, and only once."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert cli.new(straight, "--kimg", "0.056", "--set", "health.window_kimg=0.024") == 0
    assert cli.new(stopped, "--kimg", "0.016", "--set", "health.window_kimg=0.024") == 0
    assert cli.resume(stopped, "--kimg", "0.032") == 0
    assert cli.resume(stopped, "--kimg", "0.056") == 0
    told = [
        [(line["event"], line["images"]) for line in cli.log(run) if "event" in line] for run in (straight, stopped)
    ]
    assert told[0] == told[1]
    assert told[0] == [("discriminator saturated", 24)]
