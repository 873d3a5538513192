from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sgkit.config.presets import PRESETS
from sgkit.model import build, used_ws
from sgkit.runtime.distributed import DistributedContext
from sgkit.training.batches import Shard
from sgkit.training.mixing import mix_styles, mixing_cutoffs
from sgkit.training.rng import Rng
from sgkit.training.schedules import Stage
from sgkit.training.state import TrainState
from sgkit.training.step import TrainingStep


def test_layers_from_the_cutoff_on_come_from_the_other_latent() -> None:
    ws, other = torch.zeros(3, 5, 2), torch.ones(3, 5, 2)
    mixed = mix_styles(ws, other, torch.tensor([1, 4, 5]))
    assert mixed[:, :, 0].tolist() == [[0, 1, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert torch.equal(mixed[:, :, 0], mixed[:, :, 1])


def test_cutoffs_leave_a_layer_to_each_latent_and_reach_all_layers() -> None:
    uniform = torch.stack([torch.zeros(1000), torch.linspace(0, 1 - 1e-7, 1000)], dim=1)
    assert mixing_cutoffs(uniform, num_ws=6, probability=0.9).unique().tolist() == [1, 2, 3, 4, 5]


def test_the_share_of_mixed_images_is_the_probability() -> None:
    uniform = torch.stack([torch.linspace(0, 1 - 1e-7, 1000), torch.full((1000,), 0.5)], dim=1)
    cutoffs = mixing_cutoffs(uniform, num_ws=8, probability=0.3)
    assert (cutoffs < 8).sum().item() == 300


def test_a_single_layer_is_never_mixed() -> None:
    assert mixing_cutoffs(torch.zeros(4, 2), num_ws=1, probability=1.0).tolist() == [1, 1, 1, 1]


GROWING = [name for name, row in PRESETS.items() if row.model.synthesis.growing and row.train.style_mixing_prob > 0]


def test_every_growing_preset_with_mixing_is_looked_at() -> None:
    assert set(GROWING) == {"stylegan1-f", *(f"stylegan2-{letter}" for letter in "abcd")}


@pytest.mark.parametrize("lod", [0.0, 0.4, 2.7, 3.0])
@pytest.mark.parametrize("name", GROWING)
def test_the_crossover_is_drawn_over_the_layers_grown_so_far(tiny_config: Any, name: str, lod: float) -> None:
    """NVIDIA's code: ``cur_layers = num_layers - int(lod) * 2``; with 90% a cutoff, uniform in 1 ... cur_layers - 1."""
    count, probability = 1500, PRESETS[name].train.style_mixing_prob
    state = TrainState.start(build(tiny_config(name, size=(64, 64)), seed=1), PRESETS[name].train)
    state.model.grow(lod, enlarged=False)
    stage = Stage(lod=lod, size=(64, 64), batch=count, lr_factor=1.0)
    steps = TrainingStep(
        state=state,
        config=PRESETS[name].train,
        stage=stage,
        context=DistributedContext(),
        precision="fp32",
        rng=Rng(seed=0, device=torch.device("cpu")),
    )
    shard = Shard(images=torch.zeros(count, 0), labels=None, numbers=range(count))
    ws, _ = steps.styles("g", shard)
    layers = state.generator.num_ws - int(lod) * 2
    assert used_ws(state.generator.synthesis.plan) == layers
    own = (ws == ws[:, :1]).all(dim=2)[:, :layers]  # of the first latent
    cutoffs = own.long().cumprod(dim=1).sum(dim=1)
    assert torch.equal(own, torch.arange(layers) < cutoffs[:, None])
    expected = [probability / (layers - 1)] * (layers - 1) + [1 - probability]
    for cutoff, share in enumerate(expected, start=1):
        found, spread = (cutoffs == cutoff).double().mean().item(), math.sqrt(share * (1 - share) / count)
        assert found == pytest.approx(share, abs=5 * spread), cutoff
