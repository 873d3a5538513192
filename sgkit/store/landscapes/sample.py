"""Painted landscapes with known attributes: a seeded renderer, so that sgkit has its own images to learn from.

Everything is placed in units of the picture's height, x from the middle and y from the top, so that a scene is the same
at every size. Pictures are painted at twice the size and averaged.
"""

from __future__ import annotations

import numpy as np

from sgkit.config.base import Config
from sgkit.store.landscapes.painting import Canvas, Light, light_at
from sgkit.store.landscapes.scenery import Scene, paint_land, paint_sky, paint_trees, paint_water

SEASONS = ("spring", "summer", "autumn", "winter")
HOURS = ("dawn", "day", "dusk", "night")
"""The four parts of a day that :func:`hour_name` tells apart."""

SUPERSAMPLING = 2


class Attributes(Config):
    """What a landscape shows."""

    season: str
    hour: float
    """Time of day, 0 to 24."""
    water: float
    """Share of the ground that a lake covers; 0: none."""
    trees: float
    """Density of trees, 0 to 1."""
    mountains: float
    """Height of the mountains, 0 to 1."""
    clouds: float
    """Cover of clouds, 0 to 1."""
    mist: float
    """Haze over the distance, 0 to 1."""


def attributes(index: int, *, seed: int = 0) -> Attributes:
    """The attributes of a landscape, without painting it."""
    return _draw_attributes(_random(index, seed))


def hour_name(hour: float) -> str:
    """The part of the day (one of ``HOURS``) that ``hour``, 0 to 24, falls in."""
    if not 5.6 <= hour < 18.6:
        return "night"
    return "dawn" if hour < 8 else "day" if hour < 16 else "dusk"


def landscape(index: int, *, size: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, Attributes]:
    """Landscape number ``index`` as uint8 [height, width, 3], and what it shows; the same for the same arguments."""
    random = _random(index, seed)
    facts = _draw_attributes(random)
    canvas = Canvas(size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
    light = light_at(facts.hour, facts.season, facts.clouds)
    _paint(canvas, facts, light, random)
    return canvas.averaged(SUPERSAMPLING), facts


def _random(index: int, seed: int) -> np.random.RandomState:
    # RandomState's streams are frozen by NumPy: the pictures stay the same under every version.
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, index])))


def _draw_attributes(random: np.random.RandomState) -> Attributes:
    season = SEASONS[random.randint(4)]
    by_day = random.random_sample() < 0.88
    hour = 5.6 + 12.8 * random.random_sample() if by_day else (19 + 10 * random.random_sample()) % 24
    water = max(0.0, 1.25 * random.random_sample() - 0.45)
    trees, mountains, clouds, mist = random.random_sample(4)
    return Attributes(
        season=season,
        hour=round(hour, 2),
        water=round(water, 3),
        trees=round(trees, 3),
        mountains=round(mountains, 3),
        clouds=round(clouds**1.5, 3),
        mist=round(mist**2, 3),
    )


def _paint(canvas: Canvas, facts: Attributes, light: Light, random: np.random.RandomState) -> None:
    horizon = 0.46 + 0.12 * random.random_sample()
    scene = Scene(canvas, light, facts.season, horizon, random)
    paint_sky(scene, clouds=facts.clouds)
    paint_land(scene, mountains=facts.mountains, mist=facts.mist)
    shore = near_shore = horizon + 0.03
    paint_trees(scene, count=int(34 * facts.trees), nearest=shore, farthest=horizon + 0.005)
    if facts.water > 0:
        near_shore = shore + (1.02 - shore) * (0.3 + 0.7 * min(facts.water / 0.8, 1))
        paint_water(scene, shore=shore, near_shore=near_shore)
    count = int(2 + 15 * facts.trees**1.5) if near_shore < 0.97 else 0
    paint_trees(scene, count=count, nearest=1.02, farthest=near_shore + 0.03)
