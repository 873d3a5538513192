"""sgkit metrics by real processes of torchrun: the same numbers as one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sgkit import checkpoint
from sgkit.cli.app import main
from sgkit.model import Model

NAMES = "fd_d,kd_d,pr_d,dc_d,dup_d,swd,ms_ssim,eqt50k_int"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sgkit"]


@pytest.fixture
def command(tmp_path: Path, tiny_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    monkeypatch.chdir(tmp_path)
    checkpoint.save(tiny_model("stylegan3-t"), tmp_path / "model.safetensors")
    draw = np.random.default_rng(0)
    Path("data").mkdir()
    for index in range(11):  # an odd number, which two processes cannot share evenly
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(f"data/{index:02}.png")
    options = ["--data", "data", "--metrics", NAMES, "--num-images", "13", "--batch", "3", "--device", "cpu", "--json"]
    return ["metrics", "model.safetensors", *options]


def values(text: str) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in json.loads(text)["metrics"]}


def test_two_processes_find_what_one_finds(
    command: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {name: one for name, one in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    environment["SGKIT_CACHE"] = "cache of two"

    def of_two() -> dict[str, Any]:
        done = subprocess.run(
            [*TORCHRUN, *command], env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        return values(done.stdout)  # of the main process only

    monkeypatch.setenv("SGKIT_CACHE", "cache of one")
    assert main(list(command)) == 0
    alone = values(capsys.readouterr().out)
    assert len(alone) == 10
    assert of_two() == pytest.approx(alone, rel=1e-5, abs=1e-9)
    assert {path.name for path in Path("cache of two/statistics").iterdir()} == {
        path.name for path in Path("cache of one/statistics").iterdir()
    }
    monkeypatch.setenv("SGKIT_CACHE", "cache of two")  # what two processes kept, one uses
    assert main(list(command)) == 0
    assert values(capsys.readouterr().out) == pytest.approx(alone, rel=1e-5, abs=1e-9)
