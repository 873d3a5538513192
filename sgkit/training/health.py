"""Detection of collapse and overfitting, from what the steps report, with what to do. Others act on it."""

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
        self,
        config: HealthConfig,
        *,
        images: int,
        signs: bool = True,
        num_data: int | None = None,
        memory: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self._signs, self._num_data = config, signs, num_data
        known = memory or {}
        self._images = images
        self._began: int = known.get("began", images)
        self._window = Averages(sums=known.get("sums"), counts=known.get("counts"))
        self._length_before: float | None = known.get("length_before")
        self._most_diverse: float = known.get("most_diverse", 0.0)
        self._most_distinct: float = known.get("most_distinct", 0.0)
        self._ongoing: set[str] = set(known.get("ongoing", ()))

    def remembered(self) -> dict[str, Any]:
        """Return what a resumed run needs to find the same problems, in values that JSON keeps exactly."""
        return {
            "began": self._began,
            "sums": dict(self._window.sums),
            "counts": dict(self._window.counts),
            "length_before": self._length_before,
            "most_diverse": self._most_diverse,
            "most_distinct": self._most_distinct,
            "ongoing": sorted(self._ongoing),
        }

    def add(self, report: TrainReport) -> list[Event]:
        """The problems that begin with this report's window."""
        self._window.add(report)
        self._images = report.images
        if report.images - self._began < self.config.window_kimg * 1000:
            return []
        means, self._window, self._began = self._window.means(), Averages(), report.images
        saturated = self._saturated(means) if self._signs else None
        overfit = self._overfit(means) if self._signs and saturated is None else None
        found = [saturated, overfit, self._limited(means), self._exploding(means)]
        return self._new([event for event in found if event], of={_D, _G, _OVERFIT, _LIMIT, _LENGTHS})

    def add_scores(self, *, real: float, held_out: float, fake: float) -> list[Event]:
        """Overfitting, if D's mean logits of training, held-out and generated images show it."""
        gap = (real - held_out) / (real - fake) if real > fake else 0.0
        if gap <= self.config.overfit_gap or not self._signs:
            return self._new([], of={_HELD_OUT})
        text = (
            f"held-out images score {held_out:.2f}, training images {real:.2f} and generated ones {fake:.2f}: D knows "
            f"its training images by heart ({gap:.0%} of the way to generated images; {self.config.overfit_gap:.0%} is "
            "the limit)"
        )
        facts = {"score_held_out": held_out, "r_v": gap}
        return self._new([self._event(_HELD_OUT, text, **facts)], of={_HELD_OUT})

    def add_samples(self, ratio: float, distinct: float | None = None) -> list[Event]:
        """Collapse, if samples show it, by their :func:`diversity` and :func:`distinctness`.

        Both are fractions of those of training images; ``None``: training images are not distinct themselves.
        """
        self._most_diverse = max(self._most_diverse, ratio)
        # An untrained generator makes the same grey everywhere; only one that did better has collapsed.
        limit = min(self.config.min_diversity, self._most_diverse / 2)
        found: Event | None = None
        if ratio < limit:
            text = (
                f"the diversity of samples is {ratio:.1%} of that of training images; it has been "
                f"{self._most_diverse:.1%}"
            )
            found = self._event(_COLLAPSED, text, diversity=ratio)
        elif distinct is not None and distinct < min(self.config.min_diversity, self._most_distinct / 2):
            text = (
                f"half of the samples have a near twin: the distance to the most similar sample is {distinct:.1%} of "
                f"that between training images; it has been {self._most_distinct:.1%}"
            )
            found = self._event(_COLLAPSED, text, distinct=distinct)
        self._most_distinct = max(self._most_distinct, distinct or 0.0)
        return self._new([found] if found else [], of={_COLLAPSED})

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

    def _overfit(self, means: Mapping[str, float]) -> Event | None:
        real, limit = means.get("sign_real"), self.config.overfit_sign
        if real is None or real <= limit or not self._num_data or self._images < SEEN_OFTEN * self._num_data:
            return None
        rounds = self._images / self._num_data
        text = (
            f"D takes training images for real nearly every time (mean sign {real:.2f}; above {limit:g} it memorizes "
            f"them). It has seen each of the {self._num_data:,} images {rounds:.0f} times"
        )
        return self._event(_OVERFIT, text, sign_real=real)

    def _limited(self, means: Mapping[str, float]) -> Event | None:
        p = means.get("augment_p")
        if p is None or p <= self.config.max_augment_p:
            return None
        text = f"images are augmented with probability {p:.2f}, and D still memorizes them"
        return self._event(_LIMIT, text, augment_p=p)

    def _exploding(self, means: Mapping[str, float]) -> Event | None:
        length, before = means.get("pl_length"), self._length_before
        self._length_before = length if length is not None else before
        if length is None or before is None or length <= before * self.config.path_length_growth:
            return None
        return self._event(_LENGTHS, f"path lengths went from {before:.3g} to {length:.3g}", pl_length=length)

    def _event(self, name: str, text: str, **facts: float) -> Event:
        return Event(name=name, images=self._images, text=f"{name}: {text}. {ADVICE[name]}", facts=facts)

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


def distinctness(pictures: npt.NDArray[np.uint8]) -> float:
    """Median distance of ``pictures`` [N, H, W, C] to the most similar other one, in shades of 0 to 255.

    Pictures are compared at about 8x8 pixels, so that noise does not hide that two are the same.
    """
    count, height, width, channels = pictures.shape
    if count < 2:
        return 0.0
    rows, columns = max(height // 8, 1), max(width // 8, 1)
    cut = pictures[:, : height // rows * rows, : width // columns * columns].astype(np.float32)
    small = cut.reshape(count, height // rows, rows, width // columns, columns, channels).mean(axis=(2, 4))
    flat = small.reshape(count, -1)
    squares = np.square(flat).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * flat @ flat.T, 0.0)
    np.fill_diagonal(distances, np.inf)
    return float(np.median(np.sqrt(distances.min(axis=1) / flat.shape[1])))


SEEN_OFTEN = 5
"""Times that D has seen each image before it can be said to memorize them."""

_D, _G = "discriminator saturated", "generator saturated"
_COLLAPSED, _LENGTHS = "generator collapsed", "path lengths exploding"
_OVERFIT, _HELD_OUT, _LIMIT = "discriminator overfits", "discriminator overfits (held-out)", "augmentation at its limit"
_MEMORIZES = (
    "What to do: continue with --resume --augment ada if it is off, add images (--new-data), or start from a model of "
    "similar images (--init). The best snapshot may be an earlier one: --metrics kd_effnet finds it."
)
COLLAPSES = frozenset({_D, _G, _COLLAPSED, _LENGTHS})
"""Events that are signs of collapse: the policy for them applies."""
ADVICE = {
    _D: "What to do: use more images, --augment ada, or a larger R1 (--resume --set train.r1_gamma=N).",
    _G: "What to do: lower the rate of G or raise that of D (--resume --set train.g_lr=N).",
    _COLLAPSED: "What to do: move the newest snapshots out of snapshots/, and continue with --resume and a larger R1 "
    "(--set train.r1_gamma=N) or lower rates (--set train.g_lr=N --set train.d_lr=N).",
    _LENGTHS: "What to do: lower the rate of G (--resume --set train.g_lr=N).",
    _OVERFIT: _MEMORIZES,
    _HELD_OUT: _MEMORIZES,
    _LIMIT: "What to do: add images (--new-data), start from a model of similar images (--init), or use a larger R1 "
    "(--resume --set train.r1_gamma=N). Look for augmentations in the samples, such as odd colours.",
}
"""Event -> what to do about it."""
