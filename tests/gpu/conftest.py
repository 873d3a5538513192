"""Tests of what only a GPU shows. ``SGKIT_GPU_TESTS=cpu`` runs them on the CPU, to see that they work at all."""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture
def device() -> torch.device:
    """The GPU; the test is skipped where there is none."""
    name = os.environ.get("SGKIT_GPU_TESTS", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(name)
