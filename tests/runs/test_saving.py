"""What stays on the disk, and what happens when it is damaged or full."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sgkit.runs import configure
from sgkit.runs.folder import RunFolder
from sgkit.runs.logs import RunLog
from sgkit.runtime import precision
from tests.runs.driver import Cli


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def garbage(file: Path) -> None:
    file.write_bytes(b"\0" * file.stat().st_size)


@pytest.mark.parametrize(
    ("name", "harm", "problem"),
    [
        ("model.safetensors", flip_a_bit, "model.safetensors has changed since it was written"),
        ("state.safetensors", cut, "state.safetensors has "),
        ("state.safetensors", garbage, "state.safetensors has changed"),
        ("model.safetensors", Path.unlink, "model.safetensors is missing"),
        ("snapshot.json", cut, "snapshot.json cannot be read"),
    ],
)
def test_a_damaged_snapshot_is_moved_aside_and_the_one_before_it_taken(
    tmp_path: Path, cli: Cli, name: str, harm: Callable[[Path], None], problem: str
) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.032") == 0
    expected = cli.tensors(run)
    harm(run / "snapshots" / "000000.032" / name)
    cli.said()
    assert cli.resume(run) == 0
    said = cli.said()
    assert f"Snapshot 000000.032 is damaged ({problem}" in said
    assert "the run continues from 0.016 kimg" in said
    assert (run / "damaged" / "000000.032").is_dir()
    [event] = cli.log(run, key="event")
    assert (event["event"], event["images"]) == ("damaged snapshot", 16)
    assert problem in event["text"]
    got = cli.tensors(run)  # trained again, and the same
    assert [key for key in expected if not torch.equal(expected[key], got[key])] == []


def test_a_run_whose_snapshots_are_all_damaged_is_left_as_it_is(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.016") == 0
    for snapshot in RunFolder(run).snapshots():
        cut(snapshot.state)
    before = sorted(run.rglob("*"))
    assert cli.resume(run) == 1
    said = cli.said()
    assert "all of its 2 snapshots are damaged (000000.016: state.safetensors has" in said
    assert "Put one back from a copy, or start a new run." in said
    assert sorted(run.rglob("*")) == before


def test_snapshots_of_an_older_sgkit_need_no_checksums(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.032") == 0
    for snapshot in RunFolder(run).snapshots():
        (snapshot.folder / "snapshot.json").unlink()
    garbage(run / "snapshots" / "000000.032" / "model.safetensors")
    assert cli.resume(run, "--kimg", "0.040") == 0
    assert (run / "damaged" / "000000.032").is_dir()
    assert cli.names(run) == ["000000.000", "000000.016", "000000.032", "000000.040"]


def test_only_the_newest_snapshots_stay(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    left = run / "snapshots" / ".000000.0123ab-1-0-cdef01.tmp.016"
    assert cli.new(run, "--kimg", "0.016", "--keep", "2") == 0
    assert cli.names(run) == ["000000.000", "000000.016"]
    left.mkdir()
    (run / "snapshots" / ".000000.008.removed").mkdir()
    assert cli.new(run, "--resume", "--kimg", "0.064", "--keep", "2") == 0
    assert cli.names(run) == ["000000.048", "000000.064"]
    assert [path.name for path in (run / "snapshots").glob(".*")] == []


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """From 24 images on, no file may grow beyond 20 kB."""
    write, limits = RunLog.write, resource.getrlimit(resource.RLIMIT_FSIZE)

    def write_and_fill(self: RunLog, report: Any, values: Any) -> None:
        write(self, report, values)
        if report.images == 24:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    monkeypatch.setattr(RunLog, "write", write_and_fill)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_snapshots_before_and_the_run_goes_on_later(
    tmp_path: Path, cli: Cli, request: pytest.FixtureRequest
) -> None:
    run, straight = tmp_path / "run", tmp_path / "straight"
    assert cli.new(straight, "--kimg", "0.048") == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    request.getfixturevalue("full_disk")
    code = cli.new(run, "--kimg", "0.048")
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    said = cli.said()
    assert f"into {run}: The file is larger than the file system or 'ulimit -f' allows." in said
    assert "Earlier snapshots are complete. Make room (--keep N" in said
    assert "Traceback" not in said
    assert cli.names(run) == ["000000.000", "000000.016"]
    assert [path.name for path in (run / "snapshots").glob(".*")] == []
    assert cli.resume(run, "--kimg", "0.048", "--set", "train.log_kimg=0.016") == 0
    assert cli.same(straight, run)


def test_a_run_records_what_auto_became_and_keeps_it(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run, chosen = tmp_path / "run", iter(["bf16", "fp32"])
    monkeypatch.setattr(configure, "training_precision", lambda name, *_: next(chosen) if name == "auto" else name)
    assert cli.new(run, "--kimg", "0.008", "--set", "train.precision=auto") == 0
    assert RunFolder(run).read_config().train.precision == "bf16"
    assert cli.resume(run, "--kimg", "0.016") == 0
    assert RunFolder(run).read_config().train.precision == "bf16"
    # A run of an earlier version, whose file says auto, goes on by the rule that it began with.
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace('precision = "bf16"', 'precision = "auto"'))
    monkeypatch.setattr(precision, "bf16_units", lambda device: "amx_bf16")
    assert cli.resume(run, "--kimg", "0.024") == 0
    assert RunFolder(run).read_config().train.precision == "bf16"
