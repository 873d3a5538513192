"""The training loop: take a batch, step, count, report. Files, signals and screens are the caller's."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from sgkit.config import BASE_RESOLUTION, TrainConfig
from sgkit.model import Execution
from sgkit.model.layers import SelfModulated
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, set_tf32
from sgkit.training.batches import RealBatch, Supply, check_batch, group_size, shards_of, share
from sgkit.training.graphs import Graphs
from sgkit.training.readings import Readings
from sgkit.training.rng import Rng
from sgkit.training.schedules import stage_at
from sgkit.training.state import TrainState
from sgkit.training.step import TrainingStep


class Pending(NamedTuple):
    """Values of a step that nobody has waited for."""

    readings: Readings
    step: TrainingStep
    place: str
    """Where the run was before the step."""


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
    skipped: tuple[str, ...] = ()
    """A sentence for each update that was left out."""
    notes: tuple[str, ...] = ()
    """Sentences on how this and the following steps are computed."""
    pending: Pending | None = field(default=None, repr=False, compare=False)
    """What is still on the device; ``None``: values and skipped updates are known."""

    def read(self) -> TrainReport:
        """The report with its values. Waits for the device until the step is done.

        Raises:
            NonFiniteError: an update of the step was not finite, and is not to be skipped.
        """
        if self.pending is None:
            return self
        readings, step, place = self.pending
        values, problems = readings.read()
        for problem in problems:
            step.tell(place, problem)
        return replace(self, values=values, skipped=(*self.skipped, *step.skipped), pending=None)

    @property
    def kimg(self) -> float:
        """Thousands of images shown so far."""
        return self.images / 1000.0


class Averages:
    """Averages of reports. ``sums`` and ``counts`` are those of an earlier object, to continue with."""

    def __init__(self, *, sums: Mapping[str, float] | None = None, counts: Mapping[str, int] | None = None) -> None:
        self.sums: dict[str, float] = dict(sums or {})
        self.counts: dict[str, int] = dict(counts or {})
        self._images, self._seconds = 0, 0.0

    def add(self, report: TrainReport) -> None:
        """Count a report; a value counts in the steps that have it."""
        for name, value in report.values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self._images += report.batch
        self._seconds += report.seconds

    @property
    def sec_per_kimg(self) -> float:
        """Seconds for a thousand images."""
        return self._seconds / max(self._images, 1) * 1000.0

    def means(self) -> dict[str, float]:
        """Mean of each value."""
        return {name: self.sums[name] / self.counts[name] for name in sorted(self.sums)}


def train(
    state: TrainState,
    supply: Supply,
    config: TrainConfig,
    *,
    precision: ResolvedPrecision = "fp32",
    context: DistributedContext | None = None,
    skip_nonfinite: bool = False,
    waits: bool | None = None,
    graphs: Graphs | None = None,
) -> Iterator[TrainReport]:
    """Reports, one after each step, until ``config.total_kimg`` or the end of a supply; ``state`` moves on in place.

    On CUDA the loop runs ahead of the device: call :meth:`TrainReport.read` before using a report's values, and before
    saving ``state``, but not after every step. ``waits`` and ``graphs`` replace what the device decides.

    ``supply`` is asked at the start, and whenever the size or number of images changes as the networks grow.
    ``skip_nonfinite``: leave out updates that are not finite, and say so in the report.

    Raises:
        ConfigError: the batch does not divide as the recipe needs, or the recipe does not fit the networks.
        NonFiniteError: a loss or gradient is not finite.
        TrainingError: a batch has another number or size of images than asked for.
    """
    context = context or DistributedContext(device=state.pl_mean.device)
    model = state.model.config
    set_tf32(precision, context.device)
    check_batch(model, config, world_size=context.world_size)
    _prepare_networks(state, config, context)
    networks = (state.generator.synthesis, state.discriminator)
    # Compiled at their first use.
    compiled = [torch.compile(network, dynamic=False) if config.compile else None for network in networks]
    graphs = graphs or Graphs.where_possible(config, context, precision)
    step_of = functools.partial(
        TrainingStep,
        state=state,
        config=config,
        rng=Rng(seed=config.seed, device=context.device),
        context=context,
        precision=precision,
        skip_nonfinite=skip_nonfinite,
        waits=(context.device.type != "cuda" or precision == "fp16") if waits is None else waits,
        graphs=graphs,
        compiled_synthesis=compiled[0],
        compiled_discriminator=compiled[1],
    )
    asked: tuple[int, tuple[int, int]] | None = None
    batches: Iterator[RealBatch] = iter(())
    while state.images < config.total_kimg * 1000:
        began = time.perf_counter()
        stage = stage_at(state.images, model, config)
        state.model.grow(stage.lod, enlarged=False)
        mine = share(stage.batch, unit=group_size(model), rank=context.rank, world_size=context.world_size)
        if asked != (stage.batch, stage.size):
            asked, batches = (stage.batch, stage.size), iter(supply(stage, mine))
        batch = next(batches, None)
        if batch is None:
            break
        shards = shards_of(
            batch,
            stage,
            mine,
            first=state.images,
            size=config.micro_batch,
            labelled=model.label_dim > 0,
            device=context.device,
        )
        step = step_of(stage=stage)
        place = step.place
        readings = step.run(shards)
        values = readings.read()[0] if step.waits else readings.known
        begins_plateau = stage_at(state.images, model, config).plateau != stage.plateau
        if begins_plateau and config.growth is not None and config.growth.reset_optimizers:
            state.forget_moments()
        yield TrainReport(
            step=state.step,
            images=state.images,
            batch=stage.batch,
            seconds=time.perf_counter() - began,
            values=values,
            skipped=tuple(step.skipped) if step.waits else (),
            notes=tuple(graphs.news()),
            pending=None if step.waits else Pending(readings, step, place),
        )


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
