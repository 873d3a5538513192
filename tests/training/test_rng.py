from __future__ import annotations

from typing import Any

import pytest
import torch

from sgkit.training.rng import Rng

CPU = torch.device("cpu")
DRAWS = Rng(seed=3, device=CPU)


def test_draws_hang_on_seed_purpose_and_number_only() -> None:
    whole = DRAWS.normal("g.z", range(10, 16), [4])
    assert torch.equal(
        torch.cat([DRAWS.normal("g.z", range(10, 12), [4]), DRAWS.normal("g.z", [12, 13, 14, 15], [4])]), whole
    )
    assert not torch.isclose(DRAWS.normal("d.z", range(10, 16), [4]), whole).any()
    assert not torch.isclose(Rng(seed=4, device=CPU).normal("g.z", range(10, 16), [4]), whole).any()
    assert len(whole.unique()) == 24


def test_draws_leave_the_global_state_alone_and_ignore_it() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = DRAWS.uniform("g.mixing", [5], [2])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(DRAWS.uniform("g.mixing", [5], [2]), first)


def test_distributions() -> None:
    normal = DRAWS.pixel_normal("pl.direction", range(4), [3, 32, 32])
    assert normal.shape == (4, 3, 32, 32)
    assert abs(normal.mean().item()) < 0.03
    assert abs(normal.std().item() - 1) < 0.03
    uniform = DRAWS.uniform("x", range(2000), [1])
    assert 0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1


def test_a_plan_without_noise_makes_no_generator(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA graph that is being recorded may not make any: presets without noise trained without graphs."""
    plan = tiny_model("stylegan2-mini").generator.synthesis.plan
    monkeypatch.setattr("sgkit.training.rng.torch_generator", None)
    assert Rng(seed=1, device=CPU).noise("g.noise", [1, 2], plan).maps == {}
