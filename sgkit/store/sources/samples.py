"""Images made by sgkit itself: ``sample:landscapes?count=10000&seed=1``."""

from __future__ import annotations

import urllib.parse
from typing import Any

import numpy as np

from sgkit.errors import UsageError, did_you_mean
from sgkit.store.header import LabelSchema
from sgkit.store.landscapes.sample import HOURS, SEASONS, attributes, hour_name, landscape
from sgkit.store.sources.base import Item, Label, Reader, Source

DEFAULT_COUNT = 10000
LABELS = ("none", "season", "season-hour", "all")
"""Labels that a landscape can have: its season, its season and part of the day, or its attributes as numbers."""

_SEASON_HOURS = tuple(f"{season}-{hour}" for season in SEASONS for hour in HOURS)


class LandscapeReader:
    """Renders landscapes at the size that is asked for, so that nothing is resampled."""

    path = "."

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        self.size = size
        self.seed = seed

    def read(self, item: Item) -> np.ndarray:
        """The pixels [height, width, 3]."""
        return landscape(item.locator, size=self.size, seed=self.seed)[0]


class SampleSource(Source):
    """Procedural landscapes; the options are ``count``, ``seed``, and ``labels``: one of ``LABELS``."""

    kind = "sample"

    def __init__(self, given: str, *, size: tuple[int, int]) -> None:
        super().__init__(given)
        name, _, query = given.partition(":")[2].partition("?")
        if name != "landscapes":
            raise UsageError(f"There are no samples named {name!r}. {did_you_mean(name, ['landscapes'])}")
        options = dict(urllib.parse.parse_qsl(query))
        for key in options.keys() - {"count", "seed", "labels"}:
            raise UsageError(f"Unknown option {key!r} in {given!r}. {did_you_mean(key, ['count', 'seed', 'labels'])}")
        self.size = size
        self.count = _whole(options.get("count", str(DEFAULT_COUNT)), "count", given, least=1)
        self.seed = _whole(options.get("seed", "0"), "seed", given, least=0)
        self.label_choice = options.get("labels", "none")
        self.labels = _schema(self.label_choice, given)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        facts = attributes(index, seed=self.seed).to_dict()
        return Item(f"landscape-{index:06d}", index, _label(self.label_choice, facts), None, facts)

    def fingerprint(self) -> str:
        """Hash of the options: the items follow from them."""
        return f"landscapes?count={self.count}&seed={self.seed}&labels={self.label_choice}"

    def reader(self) -> Reader:
        """Renders each item."""
        return LandscapeReader(self.size, self.seed)


def _whole(text: str, name: str, given: str, *, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"{name} is {text!r} in {given!r}; it must be a whole number, {least} or more.")
    return int(text)


def _schema(choice: str, given: str) -> LabelSchema:
    if choice == "none":
        return LabelSchema()
    if choice == "season":
        return LabelSchema(kind="class", names=SEASONS)
    if choice == "season-hour":
        return LabelSchema(kind="class", names=_SEASON_HOURS)
    if choice == "all":
        return LabelSchema(kind="float", names=tuple(_numbers(attributes(0).to_dict())))
    raise UsageError(f"labels is {choice!r} in {given!r}. {did_you_mean(choice, LABELS)}")


def _label(choice: str, facts: dict[str, Any]) -> Label:
    if choice == "none":
        return None
    if choice == "season":
        return SEASONS.index(facts["season"])
    if choice == "season-hour":
        return _SEASON_HOURS.index(f"{facts['season']}-{hour_name(facts['hour'])}")
    return tuple(_numbers(facts).values())


def _numbers(facts: dict[str, Any]) -> dict[str, float]:
    """Attributes as numbers: a season becomes four, of which one is 1."""
    seasons = {season: float(facts["season"] == season) for season in SEASONS}
    return {**seasons, **{name: float(value) for name, value in facts.items() if name != "season"}}
