"""A tiny store, and runs over it through ``main(argv)``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.runs.driver import Cli

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
        *("--preset", "stylegan2-32"),
        *(word for key, value in TINY.items() for word in ("--set", f"{key}={value}")),
    ]


@pytest.fixture
def cli(store: Path, tiny: list[str], capfd: pytest.CaptureFixture[str]) -> Cli:
    return Cli(store, tiny, capfd)
