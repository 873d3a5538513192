"""The training loop: take a batch, step, count, report. Files, signals and screens are the caller's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.config import BASE_RESOLUTION, ModelConfig, TrainConfig
from sgkit.errors import ConfigError, TrainingError
from sgkit.model import Execution
from sgkit.model.layers import SelfModulated
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.training.optimizers import Shard
from sgkit.training.rng import Draws
from sgkit.training.schedules import Stage, stage_at, stages
from sgkit.training.state import TrainState
from sgkit.training.steps import Compiled, Steps


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
    batch: int
    """Images of this step, over all processes."""
    seconds: float
    """Time of this step, the wait for its images included."""
    values: dict[str, float] = field(default_factory=dict)
    """Losses, scores, signs, gradient norms; those of a regularizer only in the steps that apply it."""
    events: tuple[str, ...] = ()
    """What happened beside training, such as an update left out: whole sentences."""

    @property
    def kimg(self) -> float:
        """Thousands of images shown so far."""
        return self.images / 1000.0


Supply = Callable[[Stage, range], Iterable[RealBatch]]
"""Batches for a stage, endless, from image ``state.images`` on. Each holds the images at the given positions of a
global batch of ``stage.batch``, in size ``stage.size``."""


def train(
    state: TrainState,
    supply: Supply,
    config: TrainConfig,
    *,
    precision: ResolvedPrecision = "fp32",
    context: DistributedContext | None = None,
    skip_nonfinite: bool = False,
) -> Iterator[TrainReport]:
    """Reports, one after each step, until ``config.total_kimg`` or the end of a supply; ``state`` moves on in place.

    ``supply`` is asked at the start, and whenever the size or number of images changes as the networks grow.
    ``skip_nonfinite``: leave out updates that are not finite, and say so in the report's events.

    Raises:
        ConfigError: the batch does not divide as the recipe needs, or the recipe does not fit the networks.
        NonFiniteError: a loss or gradient is not finite.
        TrainingError: a batch has another number or size of images than asked for.
    """
    context = context or DistributedContext(device=state.pl_mean.device)
    model = state.model.config
    check_batch(model, config, world_size=context.world_size)
    _prepare_networks(state, config, context)
    compiled = _compiled(state) if config.compile else Compiled()
    draws = Draws(seed=config.seed, device=context.device)
    asked: tuple[int, tuple[int, int]] | None = None
    batches: Iterator[RealBatch] = iter(())
    while state.images < config.total_kimg * 1000:
        began = time.perf_counter()
        stage = stage_at(state.images, model, config)
        state.model.grow(stage.lod, enlarged=False)
        mine = share(stage.batch, unit=_group(model), rank=context.rank, world_size=context.world_size)
        if asked != (stage.batch, stage.size):
            asked, batches = (stage.batch, stage.size), iter(supply(stage, mine))
        batch = next(batches, None)
        if batch is None:
            break
        _check_images(batch, stage, mine)
        events: list[str] = []
        steps = Steps(
            state=state,
            config=config,
            stage=stage,
            context=context,
            precision=precision,
            draws=draws,
            skip_nonfinite=skip_nonfinite,
            compiled=compiled,
            events=events,
        )
        values = steps.run(_shards(batch, state, config, stage, mine))
        _begin_plateau(state, config, stage)
        yield TrainReport(
            step=state.step,
            images=state.images,
            batch=stage.batch,
            seconds=time.perf_counter() - began,
            values=values,
            events=tuple(events),
        )


def share(batch: int, *, rank: int, world_size: int, unit: int = 1) -> range:
    """Positions in a global batch that process ``rank`` trains on: neighbours, as evenly as whole units allow."""
    units = -(-batch // unit)
    first, last = (min(units * process // world_size * unit, batch) for process in (rank, rank + 1))
    return range(first, last)


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
    if model.discriminator.mbstd_num_channels > 0 and model.discriminator.mbstd_group_size is None:
        _check_whole(config, world_size)
    group = _group(model)
    for stage in stages(model, config):
        _check_stage(stage.batch, config, group, world_size)


def _check_whole(config: TrainConfig, world_size: int) -> None:
    if world_size > 1 or config.micro_batch not in (None, config.batch):
        raise ConfigError(
            "The minibatch standard deviation runs over the whole batch (discriminator.mbstd_group_size none), so the "
            "batch cannot be split over micro_batch or processes. Set a group size, such as 4."
        )


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


def _group(model: ModelConfig) -> int:
    """Images that share a minibatch standard deviation and so must stay together; 1 where any split will do."""
    discriminator = model.discriminator
    return (discriminator.mbstd_group_size or 1) if discriminator.mbstd_num_channels > 0 else 1


def _prepare_networks(state: TrainState, config: TrainConfig, context: DistributedContext) -> None:
    """Tell the networks how to compute."""
    count, resolution = config.reduced_resolutions, state.model.config.resolution
    # ADA keeps 4x4 in full precision whatever the number.
    reduced_from = 0 if count is None else max(resolution * 2 >> count, 2 * BASE_RESOLUTION)
    execution = Execution(reduced_from=reduced_from, recompute=config.recompute)
    for network in (state.generator.synthesis, state.discriminator):
        network.execution = execution
    if context.world_size > 1:
        for module in state.generator.synthesis.modules():
            if isinstance(module, SelfModulated):
                module.over_processes = torch.compiler.disable(context.differentiable_sum)  # type: ignore[no-untyped-call]


def _compiled(state: TrainState) -> Compiled:
    """The networks, to be compiled at their first use."""
    networks = (state.generator.synthesis, state.discriminator)
    return Compiled(*(torch.compile(network, dynamic=False) for network in networks))


def _begin_plateau(state: TrainState, config: TrainConfig, stage: Stage) -> None:
    """Forget the optimizers' moments where a fade has begun or ended with this step."""
    if config.growth is None or not config.growth.reset_optimizers:
        return
    if stage_at(state.images, state.model.config, config).plateau != stage.plateau:
        state.forget_moments()


def _check_images(batch: RealBatch, stage: Stage, mine: range) -> None:
    if len(batch.images) != len(mine) or tuple(batch.images.shape[2:]) != stage.size:
        count, _, height, width = batch.images.shape
        raise TrainingError(
            f"A batch of {count} images of {width}x{height} (WxH) came; this process trains on {len(mine)} at once, of "
            f"{stage.size[1]}x{stage.size[0]}."
        )


def _shards(batch: RealBatch, state: TrainState, config: TrainConfig, stage: Stage, mine: range) -> list[Shard]:
    device = state.pl_mean.device
    images = faded(batch.images.to(device, non_blocking=True).to(torch.float32) / 127.5 - 1.0, stage.lod)
    labels = batch.labels.to(device) if state.model.config.label_dim > 0 else None
    size = config.micro_batch or len(mine)
    numbers = range(state.images + mine.start, state.images + mine.stop)
    return [
        Shard(
            images=images[first : first + size],
            labels=None if labels is None else labels[first : first + size],
            numbers=numbers[first : first + size],
        )
        for first in range(0, len(numbers), size)
    ]


def faded(images: Tensor, lod: float) -> Tensor:
    """``images`` [N, C, H, W] as far faded towards half their resolution as the networks are (ProGAN, section 2)."""
    share = lod - math.floor(lod)
    if share == 0:
        return images
    coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")
    return images.lerp(coarse, share)
