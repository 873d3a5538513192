from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from sgkit.config import HealthConfig, TrainConfig
from sgkit.training.health import ADVICE, Event, HealthWatch, distinctness, diversity, logits_have_signs
from sgkit.training.loop import TrainReport

CONFIG = HealthConfig(window_kimg=0.02)


def watch_windows(watch: HealthWatch, *windows: Mapping[str, float]) -> list[Event]:
    """Events of windows of two steps of ten images each."""
    events, images = [], 0
    for values in windows:
        for _ in range(2):
            images += 10
            report = TrainReport(step=images // 10, images=images, batch=10, seconds=1.0, values=dict(values))
            events += watch.add(report)
    return events


@pytest.mark.parametrize(
    ("real", "fake", "name"),
    [
        (0.99, -0.99, "discriminator saturated"),
        (0.99, 0.99, "generator saturated"),
        (0.9, -0.99, None),
        (0.99, -0.9, None),
        (-0.99, 0.99, None),
    ],
)
def test_saturation_is_told_by_the_signs_of_logits(real: float, fake: float, name: str | None) -> None:
    events = watch_windows(HealthWatch(CONFIG, images=0), {"sign_real": real, "sign_fake": fake})
    assert [event.name for event in events] == ([] if name is None else [name])
    critic = HealthWatch(CONFIG, images=0, signs=False)
    assert watch_windows(critic, {"sign_real": real, "sign_fake": fake}) == []


def test_a_trouble_is_named_when_it_begins_and_again_after_it_was_gone() -> None:
    ill, well = {"sign_real": 1.0, "sign_fake": -1.0}, {"sign_real": 0.2, "sign_fake": -0.2}
    events = watch_windows(HealthWatch(CONFIG, images=0), ill, ill, well, ill)
    assert [event.images for event in events] == [20, 80]
    assert events[0].kimg == 0.02
    assert events[0].facts == {"sign_real": 1.0, "sign_fake": -1.0}


def test_one_odd_step_is_no_trouble() -> None:
    watch = HealthWatch(CONFIG, images=0)
    for step, sign in enumerate((1.0, 0.5), start=1):
        values = {"sign_real": sign, "sign_fake": -sign}
        assert watch.add(TrainReport(step=step, images=10 * step, batch=10, seconds=1.0, values=values)) == []


def test_path_lengths_explode_against_the_window_before() -> None:
    lengths = [0.3, 2.9, 0.4, None, 4.1, 4.0]
    windows = [{} if length is None else {"pl_length": length} for length in lengths]
    events = watch_windows(HealthWatch(CONFIG, images=0), *windows)
    assert [(event.name, event.images) for event in events] == [("path lengths exploding", 100)]
    assert "went from 0.4 to 4.1" in events[0].text


def test_a_generator_that_draws_one_picture_has_collapsed_only_if_it_did_better_once() -> None:
    watch = HealthWatch(CONFIG, images=0)
    assert watch.add_samples(0.02) == []
    assert watch.add_samples(0.6) == []
    [event] = watch.add_samples(0.05)
    assert event.name == "generator collapsed"
    assert "5.0% of that of training images; it has been 60.0%" in event.text
    assert watch.add_samples(0.04) == []
    assert watch.add_samples(0.5) == []
    assert [event.name for event in watch.add_samples(0.01)] == ["generator collapsed"]


def test_diversity_is_the_spread_around_the_mean_picture() -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    assert diversity(np.repeat(picture, 5, axis=0)) == 0
    pair = np.concatenate([np.full((1, 4, 4, 3), 100, np.uint8), np.full((1, 4, 4, 3), 110, np.uint8)])
    assert diversity(pair) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("loss", "has"), [("nonsaturating", True), ("saturating", True), ("hinge", True), ("wgan", False)]
)
def test_critics_have_no_signs(loss: str, has: bool) -> None:
    assert logits_have_signs(TrainConfig.from_dict({"loss": loss})) is has


@pytest.mark.parametrize("stopped_after", range(1, 8))
def test_a_resumed_watch_finds_what_an_uninterrupted_one_finds(stopped_after: int) -> None:
    def looked(watch: HealthWatch, steps: range) -> tuple[list[Event], HealthWatch]:
        events: list[Event] = []
        for step in steps:
            values = {"sign_real": 0.97 + 0.005 * step, "sign_fake": -0.99, "pl_length": 0.1 * 3**step}
            events += watch.add(TrainReport(step=step, images=10 * step, batch=10, seconds=1.0, values=values))
            events += watch.add_samples(1.0 / step**2)
        return events, watch

    config = HealthConfig(window_kimg=0.03, min_diversity=0.1)
    expected, straight = looked(HealthWatch(config, images=0), range(1, 10))
    assert {event.name for event in expected} >= {"discriminator saturated", "generator collapsed"}
    events, watch = looked(HealthWatch(config, images=0), range(1, stopped_after + 1))
    memory = json.loads(json.dumps(watch.remembered()))
    more, watch = looked(HealthWatch(config, images=10 * stopped_after, memory=memory), range(stopped_after + 1, 10))
    assert events + more == expected
    assert watch.remembered() == straight.remembered()


@pytest.mark.parametrize(
    ("values", "num_data", "name"),
    [
        ({"sign_real": 0.9, "sign_fake": -0.5}, 4, "discriminator overfits"),
        ({"sign_real": 0.9, "sign_fake": -0.5}, 5, None),  # seen four times only
        ({"sign_real": 0.9, "sign_fake": -0.5}, None, None),
        ({"sign_real": 0.79, "sign_fake": -0.9}, 1, None),
        ({"sign_real": 0.99, "sign_fake": -0.99}, 1, "discriminator saturated"),  # one trouble, not two
        ({"augment_p": 0.81}, 1, "augmentation at its limit"),
        ({"augment_p": 0.79}, 1, None),
    ],
)
def test_overfitting_and_its_remedy_at_the_limit(
    values: dict[str, float], num_data: int | None, name: str | None
) -> None:
    events = watch_windows(HealthWatch(CONFIG, images=0, num_data=num_data), values)
    assert [event.name for event in events] == ([] if name is None else [name])
    for event in events:
        assert event.text.endswith(ADVICE[event.name])
        assert "What to do: " in event.text


def test_scores_of_held_out_images_tell_that_training_images_are_known_by_heart() -> None:
    watch = HealthWatch(CONFIG, images=0)
    assert watch.add_scores(real=1.0, held_out=0.5, fake=-1.0) == []
    [event] = watch.add_scores(real=1.0, held_out=-0.5, fake=-1.0)
    assert event.name == "discriminator overfits (held-out)"
    assert "held-out images score -0.50, training images 1.00 and generated ones -1.00" in event.text
    assert "(75% of the way" in event.text
    assert event.facts == {"score_held_out": -0.5, "r_v": 0.75}
    assert watch.add_scores(real=1.0, held_out=-0.9, fake=-1.0) == []  # told once
    assert HealthWatch(CONFIG, images=0, signs=False).add_scores(real=1.0, held_out=-0.5, fake=-1.0) == []
    assert HealthWatch(CONFIG, images=0).add_scores(real=-1.0, held_out=-5.0, fake=1.0) == []


def test_near_twins_are_collapse_although_the_spread_is_large() -> None:
    random = np.random.default_rng(0)
    kinds = random.integers(0, 256, (4, 16, 16, 3)).repeat(5, axis=0)
    noise = random.integers(-20, 21, kinds.shape)
    twins, reals = (kinds + noise).clip(0, 255).astype(np.uint8), random.integers(0, 256, kinds.shape, dtype=np.uint8)
    assert diversity(twins) > 0.8 * diversity(reals)
    ratio = distinctness(twins) / distinctness(reals)
    assert ratio < 0.3
    assert distinctness(reals[:1]) == 0
    watch = HealthWatch(CONFIG, images=0)
    assert watch.add_samples(1.0, 0.05) == []  # an untrained generator
    assert watch.add_samples(1.0, 0.9) == []
    watch = HealthWatch(CONFIG, images=0, memory=json.loads(json.dumps(watch.remembered())))
    [event] = watch.add_samples(1.0, 0.05)
    assert event.name == "generator collapsed"
    assert "half of the samples have a near twin" in event.text
    assert "5.0% of that between training images; it has been 90.0%" in event.text
    assert watch.add_samples(1.0, None) == []
