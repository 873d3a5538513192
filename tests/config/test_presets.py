from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sgkit.config import ModelConfig, TrainConfig
from sgkit.config.presets import PRESETS, preset
from sgkit.errors import ConfigError
from sgkit.model import discriminator_plan, synthesis_plan
from sgkit.runs.config import RunConfig
from sgkit.runtime.toml import read_toml


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_whole(name: str) -> None:
    row = preset(name)
    assert row.name == name
    assert row == PRESETS[name]
    assert row.summary
    assert ModelConfig.from_dict(row.model.to_dict()) == row.model
    assert TrainConfig.from_dict(row.train.to_dict()) == row.train


@pytest.mark.parametrize("file", sorted((Path(__file__).parent / "golden").glob("*.toml")), ids=lambda file: file.stem)
def test_configurations_that_an_older_sgkit_wrote_are_read_to_the_last_value(file: Path) -> None:
    row = preset(file.stem, image_size=(64, 64), label_dim=2)
    config = RunConfig.from_dict(read_toml(file))
    assert (config.preset, config.model, config.train) == (row.name, row.model, row.train)
    assert config.data.class_names == ("cat", "dog")


@pytest.mark.parametrize("image_channels", [1, 3, 4])
@pytest.mark.parametrize("label_dim", [0, 3])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_other_images(name: str, label_dim: int, image_channels: int) -> None:
    row = preset(name, image_size=(32, 48), image_channels=image_channels, label_dim=label_dim)
    assert row.model.image_size == (32, 48)
    assert row.model.base == (4, 6)
    rgb, from_rgb = synthesis_plan(row.model)[-1], discriminator_plan(row.model)[0]
    assert (rgb.out_channels, rgb.size) == (image_channels, (32, 48))
    assert (from_rgb.in_channels, from_rgb.size) == (image_channels, (32, 48))


def test_the_papers_rows_are_there() -> None:
    rows = {"progan", "self-modulated", "batch-norm", "stylegan3-t", "stylegan3-r"}
    rows |= {"stylegan2-32", "stylegan2-64", "stylegan2-mini"}
    rows |= {f"stylegan1-{letter}" for letter in "abcdef"} | {f"stylegan2-{letter}" for letter in "abcdef"}
    rows |= {f"stylegan2-e-g{g}-d{d}" for g in ("orig", "skip", "resnet") for d in ("orig", "skip", "resnet")}
    rows |= {f"ada-{name}" for name in ("auto", "stylegan2", "paper256", "paper512", "paper1024", "cifar")}
    assert rows <= set(PRESETS)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("stylegan2-e", {4: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}),
        ("stylegan2-f", {4: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}),
        ("progan", {4: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}),
    ],
)
def test_channels_are_those_of_the_papers(name: str, channels: dict[int, int]) -> None:
    plan = synthesis_plan(preset(name).model)
    found = {spec.resolution: spec.out_channels for spec in plan if spec.name.endswith("conv1")}
    assert {resolution: found[resolution] for resolution in channels} == channels


def test_recipes_of_stylegan2_e_and_f() -> None:
    """StyleGAN2, appendix B: gamma 100 for config E, 10 for F; lazy R1 each 16 steps, path length each 8 or 4."""
    assert (preset("stylegan2-e").train.r1_gamma, preset("stylegan2-f").train.r1_gamma) == (100.0, 10.0)
    train = preset("stylegan2-f").train
    assert (train.batch, train.g_lr, train.d_reg_interval, train.pl_weight, train.style_mixing_prob) == (
        32, 0.002, 16, 2.0, 0.9,
    )  # fmt: skip
    assert train.adam_betas == (0.0, 0.99)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=re.escape("Unknown preset 'stylgan2-f'. Did you mean 'stylegan2-f'?")):
        preset("stylgan2-f")


def test_a_size_that_no_network_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Image size 51x50 \(WxH\) halves only to .*Good sizes near: "):
        preset("stylegan2-f", image_size=(50, 51))


@pytest.mark.parametrize(
    ("size", "processes", "expected"),
    [  # ADA's table 'auto': batch, R1, average, learning rate, channels, group
        (256, 1, (16, 0.8192, 5.0, 0.0025, 16384, 4)),
        (256, 8, (64, 0.2048, 20.0, 0.0025, 16384, 4)),
        (1024, 1, (4, 52.4288, 1.25, 0.002, 32768, 4)),
        (1024, 8, (32, 6.5536, 10.0, 0.002, 32768, 4)),
        (32, 4, (64, 0.0032, 20.0, 0.0025, 16384, 4)),
    ],
)
def test_the_automatic_recipe_follows_size_and_processes(
    size: int, processes: int, expected: tuple[float, ...]
) -> None:
    row = preset("ada-auto", image_size=(size, size), num_processes=processes)
    train, model = row.train, row.model
    got = (train.batch, train.r1_gamma, train.ema_kimg, train.g_lr)
    assert got == pytest.approx(expected[:4])
    assert (model.synthesis.channel_base, model.discriminator.mbstd_group_size) == expected[4:]
    assert model.discriminator.channel_base == model.synthesis.channel_base
    assert (train.augment.kind, train.ema_rampup, model.mapping.num_layers) == ("ada", 0.05, 2)


@pytest.mark.parametrize(("size", "gamma"), [(128, 0.5), (256, 2.0), (512, 8.0), (1024, 32.0)])
def test_r1_of_stylegan3_quadruples_with_the_resolution(size: int, gamma: float) -> None:
    assert preset("stylegan3-t", image_size=(size, size)).train.r1_gamma == gamma


def test_growing_networks_have_a_schedule_and_others_none() -> None:
    assert all((row.train.growth is not None) == row.model.synthesis.growing for row in PRESETS.values())


@pytest.mark.parametrize("batch", [8, 32, 64])
@pytest.mark.parametrize("name", ["stylegan3-t", "stylegan3-r"])
def test_averages_of_stylegan3_follow_the_batch(name: str, batch: int) -> None:
    """NVIDIA's train.py: ``0.5 ** (batch / 20e3)``, ``batch * 10 / 32`` and ``batch * 200 / 32``."""
    row = preset(name, batch=batch)
    alias_free = row.model.synthesis.alias_free
    assert alias_free is not None
    assert row.train.batch == batch
    assert alias_free.magnitude_ema_beta == 0.5 ** (batch / 20e3)
    assert (row.train.ema_kimg, row.train.d_blur_kimg) == (batch * 10 / 32, batch * 200 / 32)


@pytest.mark.parametrize("name", [name for name in PRESETS if not name.startswith("stylegan3")])
def test_nothing_else_follows_the_batch(name: str) -> None:
    row = preset(name, batch=48)
    assert row == replace(PRESETS[name], train=replace(PRESETS[name].train, batch=48))


@pytest.mark.parametrize(
    ("names", "beta"),
    [
        ([f"stylegan1-{letter}" for letter in "cdef"], 0.995),
        ([name for name in PRESETS if name.startswith(("stylegan2-", "ada-"))], 0.995),
        (["stylegan3-t", "stylegan3-r"], 0.998),
    ],
)
def test_the_mean_of_w_decays_as_in_the_official_code(names: list[str], beta: float) -> None:
    assert {PRESETS[name].model.mapping.w_avg_beta for name in names} == {beta}
