"""The log of whole runs: no value is lost at a stop, a kill or the end, and none is told twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sgkit.runs import run as running
from sgkit.runs.folder import RunFolder
from sgkit.runs.snapshots import METRICS
from tests.runs.driver import Cli

COARSE = ["--set", "train.log_kimg=1"]
"""A line of the log each 1000 images: none of a run this short is due."""


def steps_of(lines: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(line["images"], line["step"]) for line in lines if "step" in line]


def test_a_short_run_is_told_whole(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.024", *COARSE) == 0
    assert steps_of(cli.log(run)) == [(16, 2), (24, 3)]  # with each snapshot, and at the end
    assert cli.resume(run, "--kimg", "0.040") == 0
    assert steps_of(cli.log(run)) == [(16, 2), (24, 3), (32, 4), (40, 5)]
    assert len([line for line in cli.log(run) if "diversity" in line]) == len(RunFolder(run).snapshots()) == 5


def test_a_stop_tells_of_the_steps_before_it(tmp_path: Path, cli: Cli) -> None:
    assert cli.new(tmp_path / "run", "--kimg", "1", "--max-time", "0.001s", *COARSE) == 75
    assert steps_of(cli.log(tmp_path / "run")) == [(8, 1)]


def test_an_error_tells_of_the_steps_before_it(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = running.train_steps

    def breaking(*args: Any, **options: Any) -> Any:
        for report in reports(*args, **options):
            yield report
            if report.step == 1:
                raise RuntimeError("broken")

    monkeypatch.setattr(running, "train_steps", breaking)
    assert cli.new(tmp_path / "run", "--kimg", "1", *COARSE) == 1
    assert steps_of(cli.log(tmp_path / "run")) == [(8, 1)]


@pytest.mark.usefixtures("cheap_features")
@pytest.mark.parametrize("moment", ["before the log", "before the file"])
def test_a_kill_in_a_measurement_leaves_each_value_once(tmp_path: Path, cli: Cli, moment: str) -> None:
    run = tmp_path / "run"
    measured = ["--metrics", "fd_effnet", "--set", "metrics.num_images=4"]
    assert cli.new(run, "--kimg", "0.016", *measured) == 0
    expected = [(line["images"], line["fd_effnet"]) for line in cli.log(run) if "fd_effnet" in line]
    assert [images for images, _ in expected] == [0, 16]
    (RunFolder(run).snapshots()[-1].folder / METRICS).unlink()
    if moment == "before the log":
        lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
        (run / "log.jsonl").write_text(
            "".join(line for line in lines if '"fd_effnet"' not in line or '"images": 0' in line)
        )
    assert cli.resume(run) == 0
    assert [(line["images"], line["fd_effnet"]) for line in cli.log(run) if "fd_effnet" in line] == expected
