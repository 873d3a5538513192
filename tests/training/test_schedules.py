from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sgkit.config import GrowthConfig, ModelConfig, TrainConfig
from sgkit.training.schedules import average_beta, crossed, ema_beta, images_since_growth, lazy_adam, stage_at


def test_after_its_half_life_the_average_holds_half_of_what_it_held() -> None:
    beta = ema_beta(batch=40, images=10**6, ema_kimg=10)
    assert beta ** (10_000 / 40) == pytest.approx(0.5)


def test_half_life_does_not_hang_on_the_batch() -> None:
    assert ema_beta(batch=8, images=0, ema_kimg=5) ** 4 == pytest.approx(ema_beta(batch=32, images=0, ema_kimg=5))


def test_ramp_up_limits_the_half_life_to_a_fraction_of_the_images_shown() -> None:
    early = ema_beta(batch=32, images=1000, ema_kimg=10, ema_rampup=0.05)
    assert early == pytest.approx(0.5 ** (32 / 50))
    late = ema_beta(batch=32, images=10**6, ema_kimg=10, ema_rampup=0.05)
    assert late == ema_beta(batch=32, images=0, ema_kimg=10)


def test_half_life_zero_is_no_average() -> None:
    assert ema_beta(batch=32, images=100, ema_kimg=0) == 0


@pytest.mark.parametrize(
    ("kimg", "since"),
    # From 8 to 32 pixels: fades begin at 10 and 40, the last one ends at 60 kimg.
    [(0, 0), (9, 9), (10, 0), (15, 5), (39, 29), (40, 0), (60, 20), (1000, 960)],
)
def test_images_since_the_newest_layers_came(kimg: int, since: int) -> None:
    growth = GrowthConfig(start_resolution=8, stable_kimg=10, fade_kimg=20)
    assert images_since_growth(kimg * 1000, growth, num_doublings=3) == since * 1000


def test_images_since_growth_at_the_edges() -> None:
    at_once = GrowthConfig(start_resolution=8, stable_kimg=10, fade_kimg=0)
    assert [images_since_growth(k * 1000, at_once, num_doublings=3) for k in (9, 10, 25)] == [9000, 0, 5000]
    always = GrowthConfig(start_resolution=8, stable_kimg=0, fade_kimg=10)
    assert [images_since_growth(k * 1000, always, num_doublings=3) for k in (0, 9, 12, 25)] == [0, 9000, 2000, 15000]
    for start in (32, 64):
        assert images_since_growth(5000, GrowthConfig(start_resolution=start), num_doublings=3) is None


def test_the_average_of_new_layers_forgets_what_they_began_with() -> None:
    growth = GrowthConfig(start_resolution=8, stable_kimg=10, fade_kimg=20)
    train, model = TrainConfig(batch=20, ema_kimg=10, growth=growth), ModelConfig(image_size=(32, 32))

    def half_life(kimg: float, train: TrainConfig = train) -> float:
        images = int(kimg * 1000)
        beta = average_beta(images, stage_at(images, model, train), model, train)
        return 0.0 if beta == 0 else 20 * math.log(0.5) / math.log(beta)

    assert half_life(10) == half_life(40) == 0
    assert half_life(30) == pytest.approx(0.05 * 20_000)
    assert half_life(140) == pytest.approx(0.05 * 100_000)
    assert half_life(1000) == pytest.approx(10_000)
    papers = replace(train, growth=replace(growth, ema_rampup=None))
    assert half_life(10, papers) == half_life(30, papers) == pytest.approx(10_000)
    assert half_life(30, replace(train, growth=None)) == pytest.approx(10_000)
    assert half_life(1, replace(train, growth=replace(growth, start_resolution=32))) == pytest.approx(10_000)


def test_lazy_adam_scales_by_k_over_k_plus_1() -> None:
    lr, betas = lazy_adam(0.002, (0.0, 0.99), interval=16)
    assert lr == pytest.approx(0.002 * 16 / 17)
    assert betas == pytest.approx((0.0, 0.99 ** (16 / 17)))


def test_without_regularization_adam_stays() -> None:
    assert lazy_adam(0.002, (0.5, 0.99), interval=None) == (0.002, (0.5, 0.99))


@pytest.mark.parametrize(
    ("before", "now", "kimg", "expected"),
    [(0, 32, 1, False), (992, 1024, 1, True), (1000, 1032, 1, False), (968, 1000, 1, True), (10, 20, 0.016, True)],
)
def test_crossed(before: int, now: int, kimg: float, expected: bool) -> None:
    assert crossed(before, now, kimg=kimg) is expected


def test_a_fixed_decay_takes_the_place_of_the_half_life() -> None:
    growth = GrowthConfig(start_resolution=8)
    train, model = TrainConfig(growth=growth, ema_rampup=0.05, ema_decay=0.999), ModelConfig(image_size=(32, 32))
    assert {average_beta(images, stage_at(images, model, train), model, train) for images in (0, 10**6)} == {0.999}
