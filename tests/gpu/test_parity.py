from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.gpu.cases import LIMITS, fixtures, parity_errors


@pytest.mark.parametrize("case", fixtures(), ids=lambda case: case.name)
def test_official_networks_give_their_outputs(case: Path, device: torch.device) -> None:
    modes = ("fp32", "bf16") if device.type == "cpu" else tuple(LIMITS)
    found = parity_errors(case, device, modes)
    assert found["fp32"]
    too_large = {
        (mode, name): error for mode, errors in found.items() for name, error in errors.items() if error > LIMITS[mode]
    }
    assert too_large == {}
