"""Images made by sgkit itself: ``sample:landscapes?count=10000&seed=1``."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sgkit.errors import UsageError, did_you_mean
from sgkit.store.header import LabelSchema
from sgkit.store.landscapes.sample import HOURS, SEASONS, attributes, hour_name, landscape
from sgkit.store.sources.base import Item, Label, Reader, Source

DEFAULTS = {"count": "10000", "seed": "0", "labels": "none", "channels": "rgb"}
CHANNELS = ("rgb", "bgr")
"""The option ``channels``; ``bgr`` gives an orange sky over turquoise meadows, for a model to learn something new."""


def _numbers(facts: dict[str, Any]) -> dict[str, float]:
    """Attributes as numbers: a season becomes four, of which one is 1."""
    seasons = {season: float(facts["season"] == season) for season in SEASONS}
    return {**seasons, **{name: float(value) for name, value in facts.items() if name != "season"}}


_SEASON_HOURS = tuple(f"{season}-{hour}" for season in SEASONS for hour in HOURS)


def _season_hour(facts: dict[str, Any]) -> int:
    return _SEASON_HOURS.index(f"{facts['season']}-{hour_name(facts['hour'])}")


LABELS: Mapping[str, tuple[LabelSchema, Callable[[dict[str, Any]], Label]]] = {
    "none": (LabelSchema(), lambda _: None),
    "season": (LabelSchema(kind="class", names=SEASONS), lambda facts: SEASONS.index(facts["season"])),
    "season-hour": (
        LabelSchema(kind="class", names=tuple(f"{s}-{hour}" for s in SEASONS for hour in HOURS)),
        _season_hour,
    ),
    "all": (
        LabelSchema(kind="float", names=tuple(_numbers(attributes(0).to_dict()))),
        lambda facts: tuple(_numbers(facts).values()),
    ),
}
"""The option ``labels``: the schema, and the label of a landscape with given attributes."""


class LandscapeReader(Reader):
    """Renders landscapes at the size that is asked for, so that nothing is resampled."""

    def __init__(self, size: tuple[int, int], seed: int, channels: str = "rgb") -> None:
        super().__init__(".")
        self.size = size
        self.seed = seed
        self.channels = channels

    def read(self, item: Item) -> np.ndarray:
        """The pixels [height, width, 3]."""
        pixels = landscape(item.locator, size=self.size, seed=self.seed)[0]
        return pixels[..., ::-1] if self.channels == "bgr" else pixels


class SampleSource(Source):
    """Procedural landscapes; the options are the keys of :data:`DEFAULTS`."""

    kind = "sample"

    def __init__(self, given: str, *, size: tuple[int, int]) -> None:
        name, _, query = given.partition(":")[2].partition("?")
        if name != "landscapes":
            raise UsageError(f"There are no samples named {name!r}. {did_you_mean(name, ['landscapes'])}")
        options = dict(urllib.parse.parse_qsl(query))
        for key in options.keys() - DEFAULTS.keys():
            raise UsageError(f"Unknown option {key!r} in {given!r}. {did_you_mean(key, DEFAULTS)}")
        options = DEFAULTS | options
        self.count = _whole(options, "count", given, least=1)
        self.seed = _whole(options, "seed", given, least=0)
        self.label_choice = options["labels"]
        self.channels = options["channels"]
        for name, allowed in (("labels", tuple(LABELS)), ("channels", CHANNELS)):
            if options[name] not in allowed:
                raise UsageError(f"{name} is {options[name]!r} in {given!r}. {did_you_mean(options[name], allowed)}")
        super().__init__(given, LandscapeReader(size, self.seed, self.channels))
        self.labels = LABELS[self.label_choice][0]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        facts = attributes(index, seed=self.seed).to_dict()
        return Item(f"landscape-{index:06d}", index, LABELS[self.label_choice][1](facts), None, facts)

    def fingerprint(self) -> str:
        """The options: the items follow from them."""
        channels = "" if self.channels == "rgb" else f"&channels={self.channels}"
        return f"landscapes?count={self.count}&seed={self.seed}&labels={self.label_choice}{channels}"


def _whole(options: Mapping[str, str], name: str, given: str, *, least: int) -> int:
    text = options[name]
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"{name} is {text!r} in {given!r}; it must be a whole number, {least} or more.")
    return int(text)
