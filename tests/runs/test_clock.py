"""Runs within limits of time, on clusters: one command that may be called again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sgkit.measure.statistics import StatisticsRunner
from sgkit.runtime.distributed import DistributedContext, is_lost
from sgkit.runtime.progress import Progress
from tests.runs.driver import Cli


def test_the_time_limit_saves_first_and_says_how_to_go_on(
    store: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "1", "--max-time", "0.001s") == 75
    said = cli.said()
    assert f"Stopped by the time limit after saving. Continue with: sgkit train {store} --out {run} --resume" in said
    assert cli.names(run) == ["000000.000", "000000.008"]
    assert "stopped by the time limit" in (run / "report.html").read_text()
    assert cli.resume(run, "--kimg", "0.016", "--max-time", "1h") == 0
    assert cli.names(run)[-1] == "000000.016"
    # torchrun would start a process again that ends with anything but 0.
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert cli.resume(run, "--kimg", "1", "--max-time", "0.001s") == 0


@pytest.mark.parametrize("text", ["soon", "0h", "-3m", "5 weeks", ""])
def test_times_are_checked(tmp_path: Path, cli: Cli, text: str) -> None:
    assert cli.new(tmp_path / "run", f"--max-time={text}") == 2
    assert f"Not a time: {text!r}. Write it like 11.5h, 30m or 90s." in " ".join(cli.said().split())


def test_one_command_begins_a_run_and_goes_on_with_it(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.016", "--resume") == 0
    assert f"{run} holds no run yet: starting one." in cli.said()
    assert cli.new(run, "--kimg", "0.024", "--resume") == 0
    assert "starting one" not in cli.said()
    assert cli.names(run) == ["000000.000", "000000.016", "000000.024"]


PROGRAM = """
import os, signal, sys
from sgkit.cli.app import main
from sgkit.runs.run import Run

watch = Run._agree

def agree(self, reason):
    first_time = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if first_time and self.context.rank == 1 and self.state.images == 24:
        os.kill(os.getpid(), signal.SIGKILL)
    return watch(self, reason)

Run._agree = agree
sys.exit(main(sys.argv[1:]))
"""


def test_a_lost_process_ends_the_run_and_its_restart_resumes_by_itself(
    store: Path, tmp_path: Path, cli: Cli, tiny: list[str]
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    launch += [str(tmp_path / "program.py"), "train", str(store), "--out", str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *tiny, "--kimg", "0.032"], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Another process of this run was lost" in done.stderr
    assert cli.new(tmp_path / "one", "--kimg", "0.032") == 0
    expected, got = cli.tensors(tmp_path / "one"), cli.tensors(tmp_path / "two")
    assert [key for key in expected if not torch.allclose(got[key], expected[key], rtol=1e-2, atol=1e-3)] == []


@pytest.mark.parametrize(
    ("error", "world_size", "expected"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:9"), 2, True),
        (RuntimeError("NCCL communicator was aborted"), 4, True),
        (RuntimeError("[gloo] Connection closed by peer"), 1, False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), 2, False),
        (ValueError("gloo"), 2, False),
    ],
)
def test_broken_connections_are_known_from_other_errors(error: Exception, world_size: int, expected: bool) -> None:
    assert is_lost(error, DistributedContext(world_size=world_size)) is expected


@pytest.mark.parametrize("stage", ["data", "measuring"])
@pytest.mark.parametrize(
    ("options", "disturb", "code", "status"),
    [
        ((), lambda _clock: os.kill(os.getpid(), signal.SIGTERM), 143, "SIGTERM"),
        (("--max-time", "1m"), lambda clock: clock.append(61.0), 75, "the time limit"),
    ],
    ids=["sigterm", "time limit"],
)
def test_a_measurement_is_broken_off_and_made_up_for(
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    cheap_features: None,
    stage: str,
    options: tuple[str, ...],
    disturb: Callable[[list[float]], None],
    code: int,
    status: str,
) -> None:
    compute, broken_off, clock = StatisticsRunner.of, [], [0.0]

    def disturbed(self: StatisticsRunner, *images: Any, **given: str) -> Any:
        if given["stage"] == stage:
            broken_off.append(stage)
            disturb(clock)
            self.on_progress(Progress(done=0, total=2, stage=stage))
            raise AssertionError("the measurement went on")
        return compute(self, *images, **given)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(StatisticsRunner, "of", disturbed)
        patch.setattr("sgkit.cli.training.time", SimpleNamespace(monotonic=lambda: clock[-1]))
        measured = ("--metrics", "fd_effnet", "--set", "metrics.num_images=4")
        assert cli.new(run, *measured, "--kimg", "0.008", *options) == code
    assert (broken_off, cli.names(run)) == ([stage], ["000000.000"])
    assert not (run / "snapshots" / "000000.000" / "metrics.json").exists()
    assert f"stopped by {status}" in (run / "report.html").read_text()
    assert cli.resume(run) == 0
    assert cli.names(run) == ["000000.000", "000000.008"]
    assert all((run / "snapshots" / name / "metrics.json").exists() for name in cli.names(run))
