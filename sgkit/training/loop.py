"""The training loop: take a batch, step, count, report. Files, signals and screens are the caller's."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import ConfigError, TrainingError
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.training.draws import Draws
from sgkit.training.state import TrainState
from sgkit.training.steps import Shard, Steps

__all__ = ["RealBatch", "TrainReport", "check_batch", "share", "train"]


class RealBatch(Protocol):
    """Real images as a store gives them."""

    @property
    def images(self) -> Tensor:
        """Pixels [n, C, H, W], uint8."""

    @property
    def labels(self) -> Tensor:
        """Label vectors [n, label_dim]; of length 0 without labels."""


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What one step did."""

    step: int
    """Steps done."""
    images: int
    """Images shown so far, over all processes."""
    seconds: float
    """Time of this step, the wait for its images included."""
    values: dict[str, float] = field(default_factory=dict)
    """Losses, scores, signs, gradient norms; those of a regularizer only in the steps that apply it."""

    @property
    def kimg(self) -> float:
        """Thousands of images shown so far."""
        return self.images / 1000.0


def train(
    state: TrainState,
    batches: Iterable[RealBatch],
    config: TrainConfig,
    *,
    precision: ResolvedPrecision = "fp32",
    context: DistributedContext | None = None,
) -> Iterator[TrainReport]:
    """Reports, one after each step, until ``config.total_kimg`` or the end of ``batches``; ``state`` moves on in place.

    ``batches`` yields this process's share of each global batch (see :func:`share`), from image ``state.images`` on.

    Raises:
        ConfigError: the batch does not divide as the recipe needs.
        TrainingError: a loss or gradient is not finite, or a batch has another size than this process's share.
    """
    context = context or DistributedContext(device=state.pl_mean.device)
    check_batch(state.model.config, config, world_size=context.world_size)
    draws = Draws(seed=config.seed, device=context.device)
    steps = Steps(state=state, config=config, context=context, precision=precision, draws=draws)
    mine = share(config.batch, rank=context.rank, world_size=context.world_size)
    supply = iter(batches)
    while state.images < config.total_kimg * 1000:
        began = time.perf_counter()
        batch = next(supply, None)
        if batch is None:
            return
        if len(batch.images) != len(mine):
            raise TrainingError(
                f"A batch of {len(batch.images)} images came; this process trains on {len(mine)} at once."
            )
        shards = _shards(batch, state, config, range(state.images + mine.start, state.images + mine.stop))
        values = steps.run(shards)
        yield TrainReport(step=state.step, images=state.images, seconds=time.perf_counter() - began, values=values)


def share(batch: int, *, rank: int, world_size: int) -> range:
    """Positions in a global batch that process ``rank`` trains on: neighbours, as evenly as can be."""
    return range(batch * rank // world_size, batch * (rank + 1) // world_size)


def check_batch(model: ModelConfig, config: TrainConfig, *, world_size: int = 1) -> None:
    """Refuse batches that the minibatch standard deviation or the path length's shrunk batch cannot divide.

    Raises:
        ConfigError: says which number does not fit, and the nearest that does.
    """
    group = model.discriminator.mbstd_group_size if model.discriminator.mbstd_num_channels > 0 else 1
    parts = [len(share(config.batch, rank=rank, world_size=world_size)) for rank in range(world_size)]
    whole = "whole batch" if group is None else f"groups of {group}"
    if group is None and (world_size > 1 or config.micro_batch not in (None, config.batch)):
        raise ConfigError(
            "The minibatch standard deviation runs over the whole batch (discriminator.mbstd_group_size none), so the "
            "batch cannot be split over micro_batch or processes. Set a group size, such as 4."
        )
    for given, name in [
        *((part, "each process's share of batch") for part in parts),
        (config.micro_batch, "micro_batch"),
    ]:
        if given is not None and group is not None and (given < 1 or given % min(group, config.batch)):
            raise ConfigError(
                f"{name} is {given}; the minibatch standard deviation needs {whole} "
                f"(discriminator.mbstd_group_size), so give a multiple of {group}."
            )
    if config.pl_weight > 0 and min(parts) < config.pl_batch_shrink:
        raise ConfigError(
            f"pl_batch_shrink is {config.pl_batch_shrink}, but a process has only {min(parts)} images of the batch of "
            f"{config.batch}; give a larger batch or a smaller pl_batch_shrink."
        )


def _shards(batch: RealBatch, state: TrainState, config: TrainConfig, numbers: range) -> list[Shard]:
    device = state.pl_mean.device
    images = batch.images.to(device, non_blocking=True).to(torch.float32) / 127.5 - 1.0
    labels = batch.labels.to(device) if state.model.config.label_dim > 0 else None
    size = config.micro_batch or len(numbers)
    return [
        Shard(
            images=images[first : first + size],
            labels=None if labels is None else labels[first : first + size],
            numbers=numbers[first : first + size],
        )
        for first in range(0, len(numbers), size)
    ]
