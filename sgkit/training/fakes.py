"""Generated images of a phase: shard by shard; or all at once where the generator normalises over the batch.

Batch normalisation makes every image depend on all others of the batch. Split batches then still train as whole ones,
because only the discriminator, which needs most of the memory, sees the images in shards: their gradients are gathered
and go through the generator together. Between processes the layers add up their sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from sgkit.config import ModelConfig
from sgkit.training.optimizers import Shard

Fakes = tuple[Tensor, Tensor]
"""Images [n, C, H, W], and the w [n, w_dim] that they were made from."""


def mixes_batch(model: ModelConfig) -> bool:
    """Whether an image of the generator depends on the others of its batch."""
    return model.synthesis.layer == "self_modulated"


@dataclass
class WholeBatch:
    """The fakes of all shards of a process, made together."""

    make: Callable[[Shard], Fakes]
    shards: Sequence[Shard]
    _made: Fakes | None = None
    _leaf: Tensor | None = None
    _rows: dict[int, slice] = field(default_factory=dict)

    def begin(self) -> None:
        """Make the images."""
        self._made = self.make(Shard.joined(self.shards))
        self._leaf = self._made[0].detach().requires_grad_(self._made[0].requires_grad)
        first = 0
        for shard in self.shards:
            self._rows[shard.numbers[0]] = slice(first, first + len(shard.numbers))
            first += len(shard.numbers)

    def of(self, shard: Shard) -> Fakes:
        """Return the fakes of one shard; gradients of the images are gathered."""
        assert self._made is not None
        assert self._leaf is not None
        rows = self._rows[shard.numbers[0]]
        return self._leaf[rows], self._made[1][rows]

    def finish(self) -> None:
        """Send the gathered gradients through the generator."""
        assert self._made is not None
        assert self._leaf is not None
        if self._leaf.grad is not None:
            self._made[0].backward(self._leaf.grad)  # type: ignore[no-untyped-call]
        self._made = self._leaf = None
