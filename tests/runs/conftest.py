"""A tiny store, and runs over it through ``main(argv)``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sgkit.cli.app import main
from sgkit.runs.folder import RunFolder
from sgkit.tasks.prepare import PrepareOptions, prepare

TINY = {
    "model.synthesis.channel_base": 64,
    "model.synthesis.channel_max": 8,
    "model.discriminator.channel_base": 64,
    "model.discriminator.channel_max": 8,
    "model.z_dim": 8,
    "model.w_dim": 8,
    "model.mapping.num_layers": 2,
    "train.batch": 8,
    "train.num_workers": 0,
    "train.log_kimg": 0.008,
    "train.snapshot_kimg": 0.016,
    "train.precision": "fp32",
}
"""Settings of a run whose steps take milliseconds: 8 images each, a snapshot every other step."""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images of 16x8 (WxH)."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.RandomState(0)
    for index in range(20):
        path = folder / "pictures" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.randint(0, 256, (8, 16, 3), dtype=np.uint8)).save(path)
    return prepare(folder / "pictures", folder / "store", options=PrepareOptions(size=(8, 16))).path


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options that make a run tiny."""
    return [
        *("--preset", "stylegan2-32", "--device", "cpu"),
        *(word for key, value in TINY.items() for word in ("--set", f"{key}={value}")),
    ]


@pytest.fixture
def new_run(store: Path, tiny: list[str]) -> Callable[..., int]:
    """Start a tiny run with further options; its exit code."""
    return lambda run, *options: main(["train", str(store), "--out", str(run), *tiny, *options])


@pytest.fixture
def resume(store: Path) -> Callable[..., int]:
    """Resume a run; its exit code."""
    return lambda run, *options: main(["train", str(store), "--out", str(run), "--resume", "--device", "cpu", *options])


@pytest.fixture
def log() -> Callable[[Path], list[dict[str, Any]]]:
    return lambda run: [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def tensors() -> Callable[[Path], dict[str, torch.Tensor]]:
    """All tensors of a run's last snapshot."""

    def load(run: Path) -> dict[str, torch.Tensor]:
        last = RunFolder(run).snapshots()[-1]
        loaded = load_file(last.model) | load_file(last.state)
        return {name: tensor.clone() for name, tensor in loaded.items()}  # not mapped: tests change the files

    return load


@pytest.fixture
def names() -> Callable[[Path], list[str]]:
    """Names of a run's snapshots."""
    return lambda run: [snapshot.folder.name for snapshot in RunFolder(run).snapshots()]
