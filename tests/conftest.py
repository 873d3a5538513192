from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_start() -> None:
    """Every test starts from the same global random state, whatever ran before it."""
    torch.manual_seed(0)
