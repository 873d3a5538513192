"""Detection of collapse, from what the steps report. Others act on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sgkit.config import HealthConfig, TrainConfig
from sgkit.training.loop import Averages, TrainReport


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something other than a step that happened in a run: shown in the log, on the screen and in the report."""

    name: str
    """For example ``discriminator saturated`` or ``rollback``."""
    images: int
    text: str
    """A sentence."""
    facts: Mapping[str, float | str] = field(default_factory=dict)
    """The numbers in the sentence, for programs."""

    @property
    def kimg(self) -> float:
        """Thousands of images shown before it."""
        return self.images / 1000.0


class HealthWatch:
    """Checks every report, and returns an event when a problem begins.

    Averages are over windows. A resumed run continues its window: ``memory`` is what :meth:`remembered` returned there.
    A problem is reported again only after a window without it.
    """

    def __init__(
        self, config: HealthConfig, *, images: int, signs: bool = True, memory: Mapping[str, Any] | None = None
    ) -> None:
        self.config, self._signs = config, signs
        known = memory or {}
        self._images = images
        self._began: int = known.get("began", images)
        self._window = Averages(sums=known.get("sums"), counts=known.get("counts"))
        self._length_before: float | None = known.get("length_before")
        self._most_diverse: float = known.get("most_diverse", 0.0)
        self._ongoing: set[str] = set(known.get("ongoing", ()))

    def remembered(self) -> dict[str, Any]:
        """Return what a resumed run needs to find the same problems, in values that JSON keeps exactly."""
        return {
            "began": self._began,
            "sums": dict(self._window.sums),
            "counts": dict(self._window.counts),
            "length_before": self._length_before,
            "most_diverse": self._most_diverse,
            "ongoing": sorted(self._ongoing),
        }

    def add(self, report: TrainReport) -> list[Event]:
        """The problems that begin with this report's window."""
        self._window.add(report)
        self._images = report.images
        if report.images - self._began < self.config.window_kimg * 1000:
            return []
        means, self._window, self._began = self._window.means(), Averages(), report.images
        found = [self._saturated(means)] if self._signs else []
        found.append(self._exploding(means))
        return self._new([event for event in found if event], of={_D, _G, _LENGTHS})

    def add_samples(self, ratio: float) -> list[Event]:
        """Collapse, if ``ratio``, the :func:`diversity` of samples relative to training images, shows it."""
        self._most_diverse = max(self._most_diverse, ratio)
        # An untrained generator makes the same grey everywhere; only one that did better has collapsed.
        limit = min(self.config.min_diversity, self._most_diverse / 2)
        if ratio >= limit:
            return self._new([], of={_COLLAPSED})
        text = (
            f"the diversity of samples is {ratio:.1%} of that of training images; it has been {self._most_diverse:.1%}"
        )
        return self._new([self._event(_COLLAPSED, text, diversity=ratio)], of={_COLLAPSED})

    def _saturated(self, means: Mapping[str, float]) -> Event | None:
        limit = self.config.saturated_sign
        real, fake = means.get("sign_real"), means.get("sign_fake")
        if real is None or fake is None or real <= limit:
            return None
        facts = {"sign_real": real, "sign_fake": fake}
        if fake < -limit:
            text = f"D tells real from generated images every time (mean signs {real:.3f} and {fake:.3f})"
            return self._event(_D, text, **facts)
        if fake > limit:
            return self._event(_G, f"D takes every image for real (mean signs {real:.3f} and {fake:.3f})", **facts)
        return None

    def _exploding(self, means: Mapping[str, float]) -> Event | None:
        length, before = means.get("pl_length"), self._length_before
        self._length_before = length if length is not None else before
        if length is None or before is None or length <= before * self.config.path_length_growth:
            return None
        return self._event(_LENGTHS, f"path lengths went from {before:.3g} to {length:.3g}", pl_length=length)

    def _event(self, name: str, text: str, **facts: float) -> Event:
        return Event(name=name, images=self._images, text=f"{name}: {text}.", facts=facts)

    def _new(self, events: list[Event], *, of: set[str]) -> list[Event]:
        """Those of ``events`` that were not found when the problems ``of`` were last checked."""
        begun = [event for event in events if event.name not in self._ongoing]
        self._ongoing = (self._ongoing - of) | {event.name for event in events}
        return begun


def logits_have_signs(train: TrainConfig) -> bool:
    """Whether the sign of a logit says real or fake: not with Wasserstein and relativistic losses."""
    return train.loss not in ("wgan", "relativistic")


def diversity(pictures: npt.NDArray[np.uint8]) -> float:
    """Root mean square of the differences between ``pictures`` [N, H, W, C] and their mean, in shades of 0 to 255."""
    values = pictures.astype(np.float32)
    return float(np.sqrt(np.mean(np.square(values - values.mean(axis=0, keepdims=True)))))


_D, _G = "discriminator saturated", "generator saturated"
_COLLAPSED, _LENGTHS = "generator collapsed", "path lengths exploding"
