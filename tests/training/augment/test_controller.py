from __future__ import annotations

import pytest

from sgkit.config import AugmentConfig
from sgkit.training.augment import Controller, next_p


@pytest.mark.parametrize(
    ("p", "mean_sign", "wanted"),
    [
        (0.5, 0.7, 0.501),
        (0.5, 0.5, 0.499),
        (0.5, 0.6, 0.5),
        (0.0, -0.3, 0.0),
        (0.0004, 0.1, 0.0),
        (0.9999, 0.9, 1.0),
        (1.0, 0.9, 1.0),
        (1.0, 0.1, 0.999),
    ],
)
def test_p_moves_towards_the_target(p: float, mean_sign: float, wanted: float) -> None:
    assert next_p(p, mean_sign, images=128, target=0.6, kimg=128.0) == pytest.approx(wanted, abs=1e-12)


def test_kimg_images_lead_from_0_to_1() -> None:
    p, images = 0.0, 0
    while p < 1.0:
        p, images = next_p(p, 1.0, images=64, target=0.6, kimg=2.0), images + 64
    assert images == 2048  # the first multiple of 64 from 2000 on


def test_p_moves_every_interval_by_the_mean_of_all_its_signs() -> None:
    config = AugmentConfig(kind="ada", target=0.5, interval=3, kimg=1.0)
    controller = Controller.start(config)
    assert controller == Controller(p=0.0)
    for sign_sum in (8.0, 6.0):  # alone above the target
        controller = controller.after_step(config, sign_sum=sign_sum, images=10)
        assert controller.p == 0.0
    assert controller == Controller(p=0.0, sign_sum=14.0, images=20, steps=2)
    assert controller.after_step(config, sign_sum=0.0, images=10) == Controller(p=0.0)  # 14 of 30: below
    assert controller.after_step(config, sign_sum=2.0, images=10) == Controller(p=0.03)  # 16 of 30: above


@pytest.mark.parametrize(("kind", "p"), [("none", 0.0), ("fixed", 0.3), ("diffaugment", 1.0)])
def test_without_control_p_stays(kind: str, p: float) -> None:
    config = AugmentConfig.from_dict({"kind": kind, "p": 0.3, "interval": 1})
    assert Controller.start(config).after_step(config, sign_sum=10.0, images=10) == Controller(p=p)
