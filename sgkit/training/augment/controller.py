"""The probability of augmentation, steered by how much D overfits (Karras et al. 2020, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from sgkit.config.augment import AugmentConfig


def next_p(p: float, mean_sign: float, *, images: int, target: float, kimg: float) -> float:
    """``p`` moved by what ``images`` allow: up where D's ``mean_sign`` on real images is above ``target``, else down.

    ``kimg`` thousand images lead from 0 to 1. p stays within [0, 1]: above 1 nothing more would happen to images, and p
    would only take long to come back. (The paper holds it at 0 from below and leaves it free above.)
    """
    step = images / (kimg * 1000.0)
    direction = (mean_sign > target) - (mean_sign < target)
    return min(max(p + direction * step, 0.0), 1.0)


@dataclass(frozen=True, kw_only=True)
class Controller:
    """The state of the controller: all of it belongs in a snapshot."""

    p: float
    """The probability that holds now."""
    sign_sum: float | Tensor = 0.0
    """Sum of signs of D's logits on real images since p last moved; still on the device until p moves."""
    images: int = 0
    """Number of those images."""
    steps: int = 0
    """Number of training steps since p last moved."""
    start_p: float | None = field(default=None, compare=False)
    """What p was configured to start from when it was last set; ``None``: not known (runs of older versions)."""

    @classmethod
    def start(cls, config: AugmentConfig) -> Controller:
        """The controller of a new run."""
        return cls(p=config.start_p, start_p=config.start_p)

    def configured(self, config: AugmentConfig) -> Controller:
        """The controller of a run that continues with ``config``: at its p, if that was changed in between."""
        if self.start_p is None:
            return replace(self, start_p=config.start_p)
        return self if self.start_p == config.start_p else Controller.start(config)

    def to_dict(self) -> dict[str, float | None]:
        """What :class:`Controller` takes, as numbers."""
        return {**vars(self), "sign_sum": float(self.sign_sum)}

    def after_step(self, config: AugmentConfig, *, sign_sum: float | Tensor, images: int) -> Controller:
        """The controller after a training step in which D judged ``images`` real images over all processes.

        ``sign_sum``: the sum of the signs of its logits on them. Every ``config.interval`` steps p moves, of kind
        ``ada``; of other kinds it stays.
        """
        if config.kind != "ada":
            return self
        seen = replace(self, sign_sum=self.sign_sum + sign_sum, images=self.images + images, steps=self.steps + 1)
        if seen.steps < config.interval:
            return seen
        mean_sign = float(seen.sign_sum) / seen.images
        p = next_p(self.p, mean_sign, images=seen.images, target=config.target, kimg=config.kimg)
        return Controller(p=p, start_p=self.start_p)
