from __future__ import annotations

import pytest

from sgkit.training.schedules import crossed, ema_beta, lazy_adam


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
