"""Real images on their way into a step: the share of each process, shards that fit in memory, and fading."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import ConfigError, TrainingError
from sgkit.runtime.device import to_device
from sgkit.training.schedules import Stage, stages


class RealBatch(Protocol):
    """Real images as a store gives them."""

    @property
    def images(self) -> Tensor:
        """Pixels [n, C, H, W], uint8."""

    @property
    def labels(self) -> Tensor:
        """Label vectors [n, label_dim]; of length 0 without labels."""


Supply = Callable[[Stage, range], Iterable[RealBatch]]
"""Endless batches for a stage, from the state's number of images on. Each holds the images at the given positions of a
global batch of ``stage.batch``, in size ``stage.size``."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Images that are in memory at once."""

    images: Tensor
    """Real images [n, C, H, W] in [-1, 1]."""
    labels: Tensor | None
    numbers: Sequence[int]
    """Number of each image in the run: what its random numbers depend on."""

    @classmethod
    def joined(cls, shards: Sequence[Shard]) -> Shard:
        """All images of ``shards`` as one."""
        labels = [shard.labels for shard in shards if shard.labels is not None]
        return cls(
            images=torch.cat([shard.images for shard in shards]),
            labels=torch.cat(labels) if labels else None,
            numbers=[number for shard in shards for number in shard.numbers],
        )

    def every(self, stride: int) -> Shard:
        """The images whose number divides by ``stride``: the same ones however the batch is split."""
        found = [row for row, number in enumerate(self.numbers) if number % stride == 0]
        numbers = [self.numbers[row] for row in found]
        first = next(iter(found), 0)
        is_even = found == list(range(first, len(self.numbers), stride))
        rows = slice(first, None, stride) if is_even and found else found  # a list would have to travel to the device
        labels = None if self.labels is None else self.labels[rows]
        return Shard(images=self.images[rows], labels=labels, numbers=numbers)


def shards_of(
    batch: RealBatch, stage: Stage, mine: range, *, first: int, size: int | None, labelled: bool, device: torch.device
) -> list[Shard]:
    """The images of ``batch`` in shards of ``size`` (``None``: one shard).

    Args:
        batch: what the supply gave.
        stage: says how large the images must be, and how far they are faded.
        mine: positions of the images in the global batch.
        first: number of the global batch's first image in the run.
        size: images per shard.
        labelled: whether the networks take the labels.
        device: where they are needed.

    Raises:
        TrainingError: the batch has another number or size of images than asked for.
    """
    count, _, height, width = batch.images.shape
    if count != len(mine) or (height, width) != stage.size:
        raise TrainingError(
            f"Got a batch of {count} images of {width}x{height} (WxH); this process needs {len(mine)} images of "
            f"{stage.size[1]}x{stage.size[0]}."
        )
    images = faded(to_device(batch.images, device).to(torch.float32) / 127.5 - 1.0, stage.lod)
    labels = to_device(batch.labels, device) if labelled else None
    parts = [slice(start, start + (size or count)) for start in range(0, count, size or count)]
    numbers = range(first + mine.start, first + mine.stop)
    return [
        Shard(images=images[part], labels=None if labels is None else labels[part], numbers=numbers[part])
        for part in parts
    ]


def faded(images: Tensor, lod: float) -> Tensor:
    """``images`` [N, C, H, W] as far faded towards half their resolution as the networks are (ProGAN, section 2)."""
    share = lod - math.floor(lod)
    if share == 0:
        return images
    coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")
    return images.lerp(coarse, share)


def share(batch: int, *, rank: int, world_size: int, unit: int = 1) -> range:
    """Positions in a global batch that process ``rank`` trains on: neighbours, as evenly as whole units allow."""
    units = -(-batch // unit)
    first, last = (min(units * process // world_size * unit, batch) for process in (rank, rank + 1))
    return range(first, last)


def group_size(model: ModelConfig) -> int:
    """Images that share a minibatch standard deviation and so must stay together; 1 where any split will do."""
    discriminator = model.discriminator
    return (discriminator.mbstd_group_size or 1) if discriminator.mbstd_num_channels > 0 else 1


@functools.lru_cache(maxsize=64)
def group_order(count: int, group_size: int | None, device: torch.device | None = None) -> Tensor:
    """An order of ``count`` images in which groups of consecutive ones share a minibatch standard deviation.

    The discriminator groups images j, j + N/G, j + 2N/G ...; reordered, no group reaches over the border of a shard
    that holds whole groups, and all splits of a batch agree. Kept for the next call: do not change it.
    """
    group = count if group_size is None else min(group_size, count)
    if count % group:
        return torch.arange(count, device=device)
    return torch.arange(count, device=device).reshape(-1, group).t().reshape(-1)


def mixes_batch(model: ModelConfig) -> bool:
    """Whether an image of the generator depends on the others of its batch, as batch normalization makes it."""
    return model.synthesis.layer == "self_modulated"


def check_batch(model: ModelConfig, config: TrainConfig, *, world_size: int = 1) -> None:
    """Refuse recipes that do not fit the networks, and batches that the recipe cannot divide.

    Raises:
        ConfigError: says which number does not fit, and what does.
    """
    if (config.growth is not None) != model.synthesis.growing:
        raise ConfigError(
            "train.growth is given but the networks do not grow (model.synthesis.growing false). Leave it out."
            if config.growth
            else "The networks grow (model.synthesis.growing true), so train.growth must say when: give its table."
        )
    is_split = world_size > 1 or config.micro_batch not in (None, config.batch)
    if is_split and model.discriminator.mbstd_num_channels > 0 and model.discriminator.mbstd_group_size is None:
        raise ConfigError(
            "The minibatch standard deviation runs over the whole batch (discriminator.mbstd_group_size none), so the "
            "batch cannot be split over micro_batch or processes. Set a group size, such as 4."
        )
    for stage in stages(model, config):
        _check_stage(stage.batch, config, group_size(model), world_size)


def _check_stage(batch: int, config: TrainConfig, group: int, world_size: int) -> None:
    # A micro batch of at least the whole batch splits nothing.
    for given, name in [(batch, "batch"), (min(config.micro_batch or batch, batch), "micro_batch")]:
        if given % min(group, batch):
            raise ConfigError(
                f"{name} is {given}; the minibatch standard deviation needs groups of {group} "
                f"(discriminator.mbstd_group_size), so give a multiple of {group}."
            )
    shares = [len(share(batch, unit=group, rank=rank, world_size=world_size)) for rank in range(world_size)]
    if min(shares) == 0:
        raise ConfigError(
            f"batch is {batch}, in groups of {group}: too few for {world_size} processes. Give a batch of "
            f"{group * world_size} or more, a smaller discriminator.mbstd_group_size, or start fewer processes."
        )
    if config.pl_weight > 0 and min(shares) < config.pl_batch_shrink:
        raise ConfigError(
            f"pl_batch_shrink is {config.pl_batch_shrink}, but a process has only {min(shares)} images of the batch of "
            f"{batch}; give a larger batch or a smaller pl_batch_shrink."
        )
