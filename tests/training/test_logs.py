from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sgkit.training.logs import RunLog, Tally, peak_memory
from sgkit.training.loop import TrainReport
from sgkit.training.trackers import TensorBoardTracker


def report(step: int, **values: float) -> TrainReport:
    return TrainReport(step=step, batch=16, images=16 * step, seconds=0.5, values=values)


def test_a_tally_averages_each_value_over_the_steps_that_have_it() -> None:
    tally = Tally()
    tally.add(report(1, loss_g=1.0, loss_r1=8.0))
    tally.add(report(2, loss_g=3.0))
    assert tally.means() == {"loss_g": 2.0, "loss_r1": 8.0}
    assert tally.sec_per_kimg == pytest.approx(1.0 / 32 * 1000)


def test_lines_are_json_and_those_after_the_resumed_snapshot_go(tmp_path: Path) -> None:
    log = RunLog(tmp_path, trackers=[TensorBoardTracker(tmp_path)])
    for step in (1, 2, 3):
        log.write(report(step), {"loss_g": step / 3})
    log.picture("fakes", np.zeros((8, 8, 3), np.uint8), images=48)
    log.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kimg": 0.064, "ima')  # a kill cut it short
    resumed = RunLog(tmp_path, images=32, trackers=[TensorBoardTracker(tmp_path, images=32)])
    resumed.write(report(3), {"loss_g": 7.0})
    resumed.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["images"], line["kimg"], line["loss_g"]) for line in lines] == [
        (16, 0.016, 0.333333),
        (32, 0.032, 0.666667),
        (48, 0.048, 7.0),
    ]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2


def test_peak_memory_is_that_of_a_process_that_holds_torch() -> None:
    memory = peak_memory(torch.device("cpu"))
    assert memory is not None
    assert 0.05 < memory < 64
