"""Metrics in the loop, and the best snapshot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sgkit
from sgkit.cli.app import main
from sgkit.metrics.values import MetricValue
from sgkit.runs.folder import RunFolder
from sgkit.runs.measuring import Measuring
from sgkit.runs.snapshots import measured
from tests.runs.driver import Cli

pytestmark = pytest.mark.usefixtures("cheap_features")
MEASURED = ["--metrics", "fd_effnet,kd_effnet", "--set", "metrics.num_images=12"]


def test_metrics_change_nothing_else(tmp_path: Path, cli: Cli, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with_them, without = tmp_path / "with", tmp_path / "without"
    assert cli.new(with_them, "--kimg", "0.040", *MEASURED, "--every", "0.024kimg") == 0
    assert cli.new(without, "--kimg", "0.040", "--set", "train.snapshot_kimg=0.008") == 0
    assert cli.same(without, with_them)

    folder = RunFolder(with_them)
    values = {snapshot.folder.name: measured(snapshot) for snapshot in folder.snapshots()}
    due = {"000000.000", "000000.024", "000000.040"}  # each 24 images, and at both ends
    assert {name for name, found in values.items() if found} == due
    assert {line["images"] for line in cli.log(with_them) if "fd_effnet" in line} == {0, 24, 40}
    assert list(values["000000.024"]) == ["fd_effnet", "kd_effnet"]

    cli.said()
    model = str(folder.snapshot_at(24).model)
    assert main(["metrics", model, "--data", str(store), "--num-images", "12", "--device", "cpu", "--json"]) == 0
    again = {metric["name"]: metric["value"] for metric in json.loads(capfd.readouterr().out)["metrics"]}
    assert again == pytest.approx(values["000000.024"], rel=1e-6)


def test_the_best_snapshot_stays_and_stands_for_the_run(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = iter([9.0, 3.0, 5.0, 4.0, 7.0, 2.0])  # at 0, 16, 32 ... images
    monkeypatch.setattr(Measuring, "of", lambda self, model: [MetricValue(name="fd_effnet", value=next(marks))])
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.064", "--metrics", "fd_effnet", "--keep", "2") == 0
    assert cli.names(run) == ["000000.016", "000000.048", "000000.064"]
    best = json.loads((run / "best.json").read_text())
    assert best == {"snapshot": "000000.016", "metric": "fd_effnet", "value": pytest.approx(3.0), "kimg": 0.016}
    assert sgkit.load(run).info.kimg == 0.016
    assert cli.resume(run, "--kimg", "0.080") == 0
    assert cli.names(run) == ["000000.064", "000000.080"]
    assert sgkit.load(run).info.kimg == 0.08
    (run / "best.json").write_text('{"snapshot": "000000.099"}')
    assert sgkit.load(run).info.kimg == 0.08  # the newest, where the best is gone


def test_the_best_snapshot_is_the_largest_where_larger_is_better(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = iter([0.2, 0.7, 0.4])
    values = [("pr_effnet_precision", 1.0), ("pr_effnet_recall", 0.1)]
    monkeypatch.setattr(
        Measuring,
        "of",
        lambda self, model, mark=None: [MetricValue(name=n, value=f * m) for m in [next(marks)] for n, f in values],
    )
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.032", "--metrics", "pr_effnet") == 0
    best = json.loads((run / "best.json").read_text())
    assert (best["metric"], best["value"], best["kimg"]) == ("pr_effnet_precision", pytest.approx(0.7), 0.016)
    assert "pr_effnet_precision, pr_effnet_recall, larger is better" in (run / "report.html").read_text()


def test_training_ends_when_the_metric_stops_improving(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = iter([9.0, 3.0, 5.0, 4.0, 7.0, 2.0])  # at 0, 16, 32 ... images
    monkeypatch.setattr(Measuring, "of", lambda self, model: [MetricValue(name="fd_effnet", value=next(marks))])
    run = tmp_path / "run"
    options = ("--metrics", "fd_effnet", "--set", "metrics.patience_kimg=0.03")
    assert cli.new(run, "--kimg", "0.2", *options) == 0
    assert cli.names(run)[-1] == "000000.048"  # 0.032 kimg after the best one
    (event,) = [line for line in cli.log(run) if line.get("event") == "no improvement"]
    assert "fd_effnet has not been better than 3, at 0.016 kimg, for 0.03 kimg" in event["text"]
    assert "complete" in (run / "report.html").read_text()


def test_all_snapshots_of_a_run_are_measured_afterwards(
    tmp_path: Path, cli: Cli, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.032", "--set", "train.snapshot_kimg=0.016") == 0
    cli.said()
    command = ["metrics", str(run), "--all-snapshots", "--num-images", "12", "--device", "cpu"]
    assert main([*command, "--metrics", "fd_effnet"]) == 0
    said = capfd.readouterr()
    assert f"Reference images: {store}" in said.err
    words = " ".join(said.out.split())
    assert all(f"{kimg} kimg" in words for kimg in ("0", "0.016", "0.032"))
    values = {snapshot.kimg: measured(snapshot) for snapshot in RunFolder(run).snapshots()}
    assert all(list(found) == ["fd_effnet"] for found in values.values())
    assert json.loads((run / "best.json").read_text())["value"] == min(found["fd_effnet"] for found in values.values())
    assert {line["kimg"] for line in cli.log(run) if "fd_effnet" in line} == {0, 0.016, 0.032}
    assert main([*command, "--metrics", "kd_effnet"]) == 0  # values of other metrics stay
    assert all(set(measured(snapshot)) == {"fd_effnet", "kd_effnet"} for snapshot in RunFolder(run).snapshots())
    assert "fd_effnet" in (run / "report.html").read_text()
    assert main(["metrics", str(store), "--data", str(store), "--all-snapshots"]) == 1
    assert "is not a run with snapshots" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "fd_efnet"], "Unknown metric 'fd_efnet'. Did you mean 'fd_effnet'?"),
        (["--metrics", "fd_effnet", "--every", "often"], "Not a number of thousand images: 'often'."),
        (
            ["--metrics", "fd_effnet", "--set", "metrics.num_images=1"],
            "metrics.num_images is '1'; it must be 2 or more",
        ),
    ],
)
def test_mistakes_are_found_before_anything_begins(tmp_path: Path, cli: Cli, options: list[str], message: str) -> None:
    assert cli.new(tmp_path / "run", *options) == 2
    assert message in cli.said()
    assert not (tmp_path / "run").exists()


def test_a_cache_that_cannot_be_written_loses_nothing(
    store: Path, tmp_path: Path, cli: Cli, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.008", *MEASURED) == 0
    sentence = f"The statistics could not be kept in {tmp_path / 'cache' / 'statistics'}: "
    assert cli.said().count(sentence) == 1
    assert list(measured(RunFolder(run).snapshots()[-1])) == ["fd_effnet", "kd_effnet"]
    command = ["metrics", str(run), "--data", str(store), "--num-images", "12", "--device", "cpu"]
    assert main(command) == 0
    said = capfd.readouterr()
    assert "fd_effnet" in said.out
    assert sentence in said.err
