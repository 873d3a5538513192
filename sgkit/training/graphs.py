"""The updates of a training step as CUDA graphs: recorded once, then started by the CPU with one call each.

A small step is thousands of kernels, and Python takes longer to start them than the GPU to run them. An update is
recorded the second time it takes place in the same way. What differs from step to step is copied into fixed places
before a graph runs: real images, labels, and the random numbers, which the first time has noted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sgkit.config import TrainConfig
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.training.batches import Shard
from sgkit.training.optimizers import trained_parameters
from sgkit.training.readings import Readings
from sgkit.training.rng import Rng
from sgkit.training.schedules import blur_sigma
from sgkit.training.step import TrainingStep, called

Capture = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]
"""Makes of a function one that does the same work again, into the same memory."""


NO_DEVICE = "CUDA graphs need a CUDA device"


def why_no_graphs(config: TrainConfig, context: DistributedContext, precision: ResolvedPrecision) -> str | None:
    """Why updates cannot be recorded, in words; ``None``: they can."""
    reasons = {
        NO_DEVICE: context.device.type != "cuda",
        "train.cuda_graphs is off": config.cuda_graphs == "off",
        "several processes train together": context.world_size > 1,
        "fp16 chooses its loss scale by what each update finds": precision == "fp16",
        "the networks grow": config.growth is not None,
        "train.compile is on": config.compile,
        "train.recompute is on": config.recompute,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def is_changing(config: TrainConfig) -> bool:
    """Whether what D sees is made by other operations in each step."""
    return config.augment.kind in ("ada", "fixed")


class _Values(NamedTuple):
    """Random numbers that an update has asked for."""

    make: Callable[[Sequence[int]], Tensor]
    offsets: tuple[int, ...]
    """Numbers of the images, counted from the step's first."""
    buffer: Tensor


@dataclass(frozen=True, kw_only=True)
class NotedRng(Rng):
    """Notes what it is asked for; asked again, it gives the same memory, whose values :meth:`refill` renews."""

    first: int
    noted: list[_Values] = field(default_factory=list)
    again: list[Tensor] | None = None
    """What is still to be given, the last first; ``None``: it notes."""

    def given(self, values: Callable[[Sequence[int]], Tensor], numbers: Sequence[int]) -> Tensor:
        """As :meth:`Rng.given`."""
        if self.again is not None:
            return self.again.pop()
        buffer = super().given(values, numbers)
        self.noted.append(_Values(values, tuple(number - self.first for number in numbers), buffer))
        return buffer

    def refill(self, first: int) -> None:
        """Renew all values for a step that begins at image ``first``."""
        for make, offsets, buffer in self.noted:
            values = make([first + offset for offset in offsets])
            buffer.copy_(values.pin_memory() if buffer.is_cuda else values, non_blocking=True)


@dataclass
class _Recording:
    """An update between its first and its later times."""

    shards: list[Shard]
    rng: NotedRng
    replay: Callable[[], Tensor] | None = None
    found: Readings = field(default_factory=Readings)

    def prepare(self, step: TrainingStep, shards: Sequence[Shard]) -> None:
        for own, given in zip(self.shards, shards, strict=True):
            own.images.copy_(given.images)
            if own.labels is not None and given.labels is not None:
                own.labels.copy_(given.labels)
        self.rng.refill(step.state.images)


class Graphs:
    """Runs updates as :func:`sgkit.training.step.called` does, from graphs where it has recorded them."""

    def __init__(self, capture: Capture | None = None, *, problem: str | None = None) -> None:
        self._capture = capture
        self._recordings: dict[Any, _Recording] = {}
        self.problem = problem
        """Why nothing is recorded, or not any more."""
        self.note: str | None = None
        """What else is worth knowing."""

    @classmethod
    def where_possible(cls, config: TrainConfig, context: DistributedContext, precision: ResolvedPrecision) -> Graphs:
        """Graphs on CUDA; elsewhere, and where a recipe stands against them, updates are called."""
        problem = why_no_graphs(config, context, precision)
        graphs = cls(problem=problem)
        if problem is not None and problem != NO_DEVICE:
            graphs.note = f"Training without CUDA graphs: {problem}."
        elif problem is None and is_changing(config):
            graphs.note = (
                f"CUDA graphs for path lengths only: augmentation {config.augment.kind} works on other images in each "
                "step."
            )
        return graphs

    def news(self) -> list[str]:
        """A sentence if there is something to say on CUDA since the last call."""
        note, self.note = self.note, None
        return [] if note is None else [note]

    def __call__(self, step: TrainingStep, update: str, shards: Sequence[Shard], **options: bool) -> Readings:
        """Run an update of ``step``."""
        changes = is_changing(step.config) and (update != "update_g" or options.get("adversarial", True))
        if self.problem is not None or not shards or changes or self._is_blurred(step):
            return called(step, update, shards, **options)
        key = self._key(step, update, shards, options)
        recording = self._recordings.get(key)
        if recording is None:
            rng = NotedRng(seed=step.rng.seed, device=step.rng.device, first=step.state.images)
            own = [Shard(images=x.images.clone(), labels=_cloned(x.labels), numbers=x.numbers) for x in shards]
            self._recordings[key] = _Recording(own, rng)
            return called(replace(step, rng=rng), update, own, **options)
        recording.prepare(step, shards)
        if recording.replay is None and not self._record(recording, step, update, options):
            return called(step, update, shards, **options)
        assert recording.replay is not None
        values = recording.replay().clone()
        for optimizer in step.state.optimizers.values():  # graphs change weights without a word, too
            for parameter in trained_parameters(optimizer):
                torch.autograd.graph.increment_version(parameter)
        return recording.found.unpacked(values)

    def _record(self, recording: _Recording, step: TrainingStep, update: str, options: dict[str, bool]) -> bool:
        """Whether the update could be recorded."""

        def again() -> Tensor:
            buffers = [values.buffer for values in reversed(recording.rng.noted)]
            rng = replace(recording.rng, again=buffers)
            recording.found = called(replace(step, rng=rng), update, recording.shards, **options)
            return recording.found.packed()

        try:
            self._capture = self._capture or cuda_capture()
            recording.replay = self._capture(again)
        except (RuntimeError, ValueError) as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            self.problem = f"{update} cannot be recorded ({words[0]})"
            self.note = f"Training without CUDA graphs: {self.problem}."
            self._recordings.clear()
        return self.problem is None

    @staticmethod
    def _is_blurred(step: TrainingStep) -> bool:
        """Whether D's images are blurred by a width that changes from step to step."""
        config = step.config
        return blur_sigma(step.state.images, sigma=config.d_blur_sigma, kimg=config.d_blur_kimg) > 0

    @staticmethod
    def _key(step: TrainingStep, update: str, shards: Sequence[Shard], options: dict[str, bool]) -> Any:
        """Everything about an update that a graph cannot change."""
        rates = tuple(group["lr"] for optimizer in step.state.optimizers.values() for group in optimizer.param_groups)
        shapes = tuple((tuple(shard.images.shape), shard.labels is None) for shard in shards)
        stride = step.state.images % step.config.pl_batch_shrink if options.get("path_length") else 0
        return update, tuple(sorted(options.items())), shapes, rates, stride


def cuda_capture() -> Capture:
    """Record on the current CUDA device, all graphs in one pool of memory."""
    pool = torch.cuda.graph_pool_handle()

    def capture(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        graph = torch.cuda.CUDAGraph()
        # Only calls of this thread count: others may read images meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = function()

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    return capture


def _cloned(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.clone()
