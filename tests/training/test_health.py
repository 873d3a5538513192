from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from sgkit.config import HealthConfig, TrainConfig
from sgkit.training.health import Event, HealthWatch, diversity, logits_have_signs
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
