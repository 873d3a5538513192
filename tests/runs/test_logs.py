from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sgkit.runs.logs import RunLog, peak_memory, read_log
from sgkit.runs.trackers import TensorBoardTracker
from sgkit.training.loop import Averages, TrainReport


def report(step: int, **values: float) -> TrainReport:
    return TrainReport(step=step, batch=16, images=16 * step, seconds=0.5, values=values)


def test_a_tally_averages_each_value_over_the_steps_that_have_it() -> None:
    tally = Averages()
    tally.add(report(1, loss_g=1.0, loss_r1=8.0))
    tally.add(report(2, loss_g=3.0))
    assert tally.means() == {"loss_g": 2.0, "loss_r1": 8.0}
    assert tally.sec_per_kimg == pytest.approx(1.0 / 32 * 1000)


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    """(images, value) as TensorBoard shows them."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(point.step, point.value) for point in events.Scalars(name)]


TORN = ['{"kimg": 0.064, "ima', '{"kimg": 0.064, "images": 64}', "\0\0\0", "[" * 100_000, "16", '{"images": NaN}\n', ""]


@pytest.mark.parametrize("torn", TORN)
def test_lines_are_json_and_those_after_the_resumed_snapshot_go(tmp_path: Path, torn: str) -> None:
    log = RunLog(tmp_path, trackers=[TensorBoardTracker(tmp_path)])
    for step in (1, 2, 3):
        log.write(report(step), {"loss_g": float(step)})
        log.measured({"fid": step / 2}, images=16 * step)
    log.picture("fakes", np.zeros((8, 8, 3), np.uint8), images=48)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(torn)
    assert curve(tmp_path, "loss_g") == [(16, 1.0), (32, 2.0), (48, 3.0)]  # a kill would lose nothing
    log.close()
    resumed = RunLog(tmp_path, images=32, trackers=[TensorBoardTracker(tmp_path, images=32)])
    resumed.measured({"fid": 1.0}, images=32)  # known
    resumed.write(report(3), {"loss_g": 7.0})
    resumed.close()
    lines = read_log(tmp_path)
    assert [json.loads(line)["images"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        *(16, 16, 32, 32, 48)
    ]
    assert [(line["images"], line["loss_g"]) for line in lines if "step" in line] == [(16, 1.0), (32, 2.0), (48, 7.0)]
    assert [(line["images"], line["fid"]) for line in lines if "fid" in line] == [(16, 0.5), (32, 1.0)]
    assert curve(tmp_path, "loss_g") == [(16, 1.0), (32, 2.0), (48, 7.0)]
    assert curve(tmp_path, "fid") == [(16, 0.5), (32, 1.0)]


def test_a_last_line_without_its_end_is_ended(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.write(report(1), {"loss_g": 1.0})
    file = tmp_path / "log.jsonl"
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    RunLog(tmp_path, images=16).write(report(2), {"loss_g": 2.0})
    assert [line["loss_g"] for line in read_log(tmp_path)] == [1.0, 2.0]


def test_a_run_that_starts_keeps_no_line_of_one_that_never_saved(tmp_path: Path) -> None:
    RunLog(tmp_path).measured({"diversity": 1.0}, images=0)
    RunLog(tmp_path).measured({"diversity": 1.0}, images=0)
    assert len(read_log(tmp_path)) == 1


def test_peak_memory_is_that_of_a_process_that_holds_torch() -> None:
    memory = peak_memory(torch.device("cpu"))
    assert memory is not None
    assert 0.05 < memory < 64
