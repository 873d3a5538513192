"""Every preset trains: two steps, after which every value that a step can reach has had a gradient, finite ones only.

Gradients are read off Adam's second moments, which are zero exactly where every gradient so far was zero. They must be
zero in layers that the plan leaves out, may be in the few places named below, and are non-zero, value by value, in all
others: noise strengths too, which start at 0 but whose gradient is not 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sgkit.config import GrowthConfig, ModelConfig
from sgkit.config.presets import PRESETS
from sgkit.model import build
from sgkit.training.state import TrainState
from tests.training.driver import run

GROWING = [name for name, row in PRESETS.items() if row.model.synthesis.growing]
LABELLED = ["progan", "stylegan1-f", "stylegan2-f", "self-modulated", "stylegan3-t"]
"""One for each way in which labels join z and reach the discriminator."""
CASES = [
    *[(name, 0.0, 0) for name in PRESETS],
    *[(name, 0.25, 0) for name in GROWING],
    *[(name, 0.0, 3) for name in LABELLED],
    ("stylegan1-f", 1.5, 3),
]
BATCH = 4
DEAD_SHARE = 0.25
"""Of the values behind a ReLU: units that are off for all of two batches have no gradient."""


@pytest.mark.parametrize(("name", "lod", "label_dim"), CASES)
def test_two_steps_reach_every_parameter(
    tiny_config: Callable[..., ModelConfig], name: str, lod: float, label_dim: int
) -> None:
    config = tiny_config(name, label_dim=label_dim)
    recipe = replace(PRESETS[name].train, batch=BATCH)
    first_image = 0
    if config.synthesis.growing:
        # From the next lower resolution, half-way or so through a fade; or from the full one.
        growth = GrowthConfig(start_resolution=16 >> math.ceil(lod), stable_kimg=0, fade_kimg=1)
        recipe, first_image = replace(recipe, growth=growth), round(1000 * (math.ceil(lod) - lod))
    recipe = replace(recipe, total_kimg=(first_image + 2 * BATCH) / 1000)
    state = TrainState.start(build(config, seed=3), recipe)
    state.images = first_image
    reports = run(state, recipe)
    assert state.step == len(reports) == 2
    assert reports[0].values.get("lod", 0.0) == lod
    assert ("loss_pl" in reports[0].values) == (recipe.pl_weight > 0)
    assert ("loss_r1" in reports[0].values) == (recipe.r1_gamma > 0)
    assert ("loss_gp" in reports[0].values) == (recipe.gp_weight > 0)

    synthesis = state.generator.synthesis
    unreached = _idle(synthesis, state.optimizers["g"], prefix="synthesis.")
    assert unreached == _left_out(synthesis)
    assert _idle(state.generator.mapping, state.optimizers["g"], prefix="mapping.") == set()
    assert _idle(state.discriminator, state.optimizers["d"]) == _left_out(state.discriminator)


def _left_out(network: torch.nn.Module) -> set[str]:
    """Layers that the plan leaves out: sizes that are not grown to, and ways to the image of all sizes but the last."""
    planned = {spec.name for spec in network.plan}  # type: ignore[union-attr]
    return {name for name in network._modules if name not in planned | {"mapping"}}


def _idle(network: torch.nn.Module, optimizer: torch.optim.Optimizer, *, prefix: str = "") -> set[str]:
    """Layers none of whose values has had a gradient; of all others, all that can have one must have had it."""
    idle: dict[str, list[bool]] = {}
    for name, parameter in network.named_parameters():
        moments = optimizer.state[parameter]["exp_avg_sq"]
        assert moments.isfinite().all(), prefix + name
        if _is_cancelled(network, name):
            continue
        layer = name.partition(".")[0]
        idle.setdefault(layer, []).append(not moments.any())
        if moments.any():
            share = float((moments == 0).float().mean())
            assert share <= (DEAD_SHARE if _behind_relu(name) else 0), f"{prefix}{name}: {share:.0%} without gradient"
    for layer, flags in idle.items():
        assert all(flags) or not any(flags), f"{prefix}{layer} is trained in part"
    return {layer for layer, flags in idle.items() if all(flags)}


def _is_cancelled(network: torch.nn.Module, name: str) -> bool:
    """StyleGAN's bias behind its constant: positive as that is at first, the normalisation takes it out again."""
    return name == "b4_input.bias" and hasattr(network.get_submodule("b4_input"), "const")


def _behind_relu(name: str) -> bool:
    """The two-layer networks that make the styles of a self-modulated generator."""
    return ".scale." in name or ".shift." in name
