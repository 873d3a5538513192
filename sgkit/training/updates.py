"""What an update of one network is made of: its losses, gathered shard by shard, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sgkit.training.readings import Check, Readings

Sums = dict[str, Tensor]
"""Values to report, each summed over images."""


@dataclass(kw_only=True)
class BatchLoss:
    """A loss that is the mean over a batch, backpropagated shard by shard."""

    name: str
    count: int
    """Images of the batch, in all processes together."""
    scale: float
    """Factor of the gradients, taken out again before the update."""
    sums: Sums = field(default_factory=dict)

    def backward(self, loss: Tensor, values: Mapping[str, Tensor]) -> None:
        """Backpropagate ``loss``, a sum over some of the images, and add up what is reported of them."""
        (loss * (self.scale / self.count)).backward()  # type: ignore[no-untyped-call]
        for key, value in {"loss": loss, **values}.items():
            self.sums[key] = value.detach() + self.sums.get(key, 0.0)

    def means(self, **names: str) -> Readings:
        """Means over the batch, of the sums that there are, by the names to report them by."""
        found = Readings()
        for key, shown in names.items():
            if key in self.sums:
                found.add(shown, self.sums[key], self.count)
        return found


@dataclass(frozen=True, kw_only=True)
class Moved:
    """An update that was made."""

    norm: Tensor
    """Of the gradient."""
    check: Check
    if_finite: Tensor | None
    """Whether it took place, on the device; ``None``: it has been checked, and did."""

    def settle(self, target: Tensor, value: Tensor) -> None:
        """Write ``value`` into ``target``, unless the update did not take place."""
        target.copy_(value if self.if_finite is None else torch.where(self.if_finite, value, target))

    def readings(self, name: str) -> Readings:
        """The norm, to be reported as ``name``, and what is still to be checked."""
        found = Readings(checks=[] if self.if_finite is None else [self.check])
        found.add(name, self.norm)
        return found
