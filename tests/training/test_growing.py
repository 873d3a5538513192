"""Progressive growing: the schedule, what networks and images look like on the way, and that a run still resumes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sgkit.config import GrowthConfig, ModelConfig, TrainConfig
from sgkit.config.presets import preset
from sgkit.errors import ConfigError
from sgkit.model import build, grown_size
from sgkit.training.batches import check_batch, faded, group_order
from sgkit.training.loop import train
from sgkit.training.losses import r1_penalty
from sgkit.training.schedules import growth_lod, stage_at, stages
from sgkit.training.state import TrainState
from tests.training.driver import changed, resumed, run, steps, supply_for, weights

SCHEDULE = GrowthConfig(start_resolution=4, stable_kimg=0.016, fade_kimg=0.016, batches=(8, 8, 4))


@pytest.fixture
def growing(tiny_config: Any) -> ModelConfig:
    config: ModelConfig = tiny_config("stylegan1-f", discriminator__mbstd_group_size=2)
    return config


@pytest.fixture
def recipe() -> TrainConfig:
    return TrainConfig(
        total_kimg=0.096, batch=4, growth=SCHEDULE, d_reg_interval=1, pl_weight=0.0, r1_gamma=1.0, ema_kimg=0.02
    )


@pytest.mark.parametrize(
    ("kimg", "lod"),
    [(0, 7), (599.9, 7), (600, 7), (900, 6.5), (1200, 6), (1800, 6), (2400, 5), (8250, 0.25), (8400, 0), (99999, 0)],
)
def test_each_resolution_fades_in_then_stays(kimg: float, lod: float) -> None:
    """ProGAN's own schedule at 1024 px from 8 px, by hand: a plateau of 600 kimg, then a fade of 600, and so on."""
    growth = GrowthConfig(start_resolution=8)
    assert growth_lod(round(kimg * 1000), growth, num_doublings=8) == pytest.approx(lod)


def test_without_fades_resolutions_jump() -> None:
    growth = GrowthConfig(start_resolution=4, stable_kimg=1, fade_kimg=0)
    assert [growth_lod(n, growth, num_doublings=2) for n in (0, 999, 1000, 1999, 2000, 9000)] == [2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("kimg", "size", "batch", "lr"),
    [(0, 8, 256, 1.0), (700, 16, 128, 1.0), (1900, 32, 64, 1.0), (4300, 128, 32, 1.5), (9999, 1024, 32, 3.0)],
)
def test_batch_and_rate_follow_the_resolution(kimg: float, size: int, batch: int, lr: float) -> None:
    row = preset("stylegan1-f")
    stage = stage_at(round(kimg * 1000), row.model, row.train)
    assert (stage.size, stage.batch, stage.lr_factor) == ((size, size), batch, lr)


def test_stages_name_every_size_once() -> None:
    row = preset("stylegan2-b", image_size=(96, 128))
    assert [stage.size for stage in stages(row.model, row.train)][:4] == [(12, 16), (24, 32), (48, 64), (96, 128)]
    assert stages(preset("stylegan2-f").model, TrainConfig())[0].size == (1024, 1024)


def test_images_fade_as_networks_do() -> None:
    images = torch.randn(2, 3, 4, 6)
    assert faded(images, 2.0) is images
    half = F.avg_pool2d(images, 2).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(faded(images, 1.25), images * 0.75 + half * 0.25)


@pytest.mark.parametrize("lod", [0.0, 0.4, 1.0, 1.7, 2.0])
def test_grown_networks_are_the_full_ones_without_repeated_pixels(growing: ModelConfig, lod: float) -> None:
    model = build(growing, seed=3)
    ws = model.map(model.sample_z([1, 2]))
    model.grow(lod)
    full = model.synthesize(ws)
    model.grow(lod, enlarged=False)
    small = model.synthesize(ws)
    factor = 1 << math.floor(lod)
    assert tuple(small.shape[2:]) == grown_size(growing, lod=lod) == (16 // factor, 16 // factor)
    assert torch.equal(small.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3), full)

    logits = model.discriminate(small)
    model.grow(lod)
    torch.testing.assert_close(model.discriminate(full), logits, rtol=1e-5, atol=1e-5)


def test_penalties_are_those_of_the_full_size(growing: ModelConfig) -> None:
    """R1 by the repeated pixels of the full image, as the papers' runs have it, from the small image's gradients."""
    model = build(growing, seed=3)
    images = torch.randn(2, 3, 4, 4)
    penalties = []
    for enlarged in (True, False):
        model.grow(2.0, enlarged=enlarged)
        shown = F.interpolate(images, scale_factor=4) if enlarged else images
        shown = shown.clone().requires_grad_()
        gamma = 1.0 if enlarged else 1.0 / 4**2
        penalties.append(r1_penalty(shown, model.discriminate(shown), gamma=gamma))
    torch.testing.assert_close(penalties[1], penalties[0], rtol=1e-4, atol=1e-8)


def test_a_grown_step_reports_the_penalty_of_the_full_size(growing: ModelConfig, recipe: TrainConfig) -> None:
    first = next(steps(TrainState.start(build(growing, seed=1), recipe), recipe))
    model = build(growing, seed=1)
    model.grow(2.0)
    [batch] = supply_for(growing, steps=1)(stage_at(0, growing, recipe), range(first.batch))
    images = batch.images[group_order(first.batch, growing.discriminator.mbstd_group_size)] / 127.5 - 1
    full = F.interpolate(images, scale_factor=4).requires_grad_()
    expected = r1_penalty(full, model.discriminate(full), gamma=recipe.r1_gamma).mean()
    assert first.values["loss_r1"] == pytest.approx(expected.item(), rel=1e-4)


def test_a_run_grows(growing: ModelConfig, recipe: TrainConfig) -> None:
    state = TrainState.start(build(growing, seed=1), recipe)
    asked = []

    def supply(stage: Any, mine: range) -> Any:
        asked.append((stage.size, stage.batch, mine))
        return supply_for(growing, start=state.images)(stage, mine)

    reports = list(train(state, supply, recipe))
    assert asked == [((4, 4), 8, range(8)), ((8, 8), 8, range(8)), ((16, 16), 4, range(4))]
    assert [report.images for report in reports][:9] == [8, 16, 24, 32, 40, 48, 56, 60, 64]
    lods = {report.images - report.batch: report.values["lod"] for report in reports}
    assert [lods[n] for n in (0, 16, 24, 32, 40, 48, 56, 60, 64, 92)] == [2, 2, 1.5, 1, 1, 1, 0.5, 0.25, 0, 0]
    assert all(math.isfinite(value) for report in reports for value in report.values.values())
    assert state.images == 96


def test_optimizers_start_afresh_when_a_fade_begins_or_ends(growing: ModelConfig, recipe: TrainConfig) -> None:
    for reset in (True, False):
        config = replace(recipe, growth=replace(SCHEDULE, reset_optimizers=reset))
        state = TrainState.start(build(growing, seed=1), config)
        forgotten = [report.images for report in steps(state, config) if not state.optimizers["d"].state]
        # Fades begin with the first step behind images 16 and 48, and end at 32 and 64.
        assert forgotten == ([24, 32, 56, 64] if reset else [])


@pytest.mark.parametrize("cut", [0.024, 0.060])
def test_a_killed_growing_run_resumes_bit_for_bit(
    growing: ModelConfig, recipe: TrainConfig, tmp_path: Path, cut: float
) -> None:
    straight, first = (TrainState.start(build(growing, seed=1), recipe) for _ in range(2))
    expected = [report.values for report in run(straight, recipe)]
    done = run(first, replace(recipe, total_kimg=cut))
    second = resumed(first, recipe, tmp_path / "state.safetensors")
    assert [report.values for report in [*done, *run(second, recipe)]] == expected
    assert changed(weights(straight), weights(second)) == set()


def test_recipe_and_networks_must_agree_on_growing(growing: ModelConfig, recipe: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"The networks grow .* so train.growth must say when"):
        check_batch(growing, replace(recipe, growth=None))
    with pytest.raises(ConfigError, match=r"train.growth is given but the networks do not grow"):
        check_batch(ModelConfig(), recipe)
    with pytest.raises(ConfigError, match=r"batch is 9; .*groups of 2"):
        check_batch(growing, replace(recipe, growth=replace(SCHEDULE, batches=(16, 9))))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start_resolution": 12}, r"growth.start_resolution is 12; it must be 4, 8, 16, 32"),
        ({"stable_kimg": -1}, r"growth.stable_kimg is -1.*0 or more"),
        ({"stable_kimg": 0, "fade_kimg": 0}, r"growth.fade_kimg is 0.*above 0"),
        ({"batches": (4, 0)}, r"growth.batches\[1\] is 0; it must be between 1"),
        ({"lr_factors": (0.0,)}, r"growth.lr_factors\[0\] is 0.0; it must be above 0"),
    ],
)
def test_impossible_schedules_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.from_dict({"growth": values})
