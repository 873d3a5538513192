from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors, several test processes: threads would wait for each other

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_start() -> None:
    """Every test starts from the same global random state, whatever ran before it."""
    torch.manual_seed(0)
