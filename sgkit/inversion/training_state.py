"""A training that can be stopped at any moment: its state is kept beside the file that it will write.

The state has the weights, the moments of Adam, how far the training is, and facts that must be the same for it to
continue. On one CPU it continues to the same bits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

import sgkit
from sgkit.errors import CheckpointError, InputError
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import OnProgress, Progress
from sgkit.runtime.tensor_files import write_safetensors
from sgkit.unpickle.budget import bad_data
from sgkit.unpickle.safetensors_header import float_arrays, read_safetensors_header

FORMAT_VERSION = 1
METADATA_KEY = "sgkit.training-state"
KEYS = frozenset({"format_version", "sgkit_version", "done", "steps", "facts"})
SAVED_EVERY = 60.0
"""Seconds between the states that a killed training continues from."""
AVERAGE, SQUARE = "adam.average.", "adam.square."


class Training(Protocol):
    """A training under way."""

    is_whole: bool
    """False while weights are being moved: a state that was interrupted there cannot be continued."""

    @property
    def done(self) -> int:
        """How far it is, in images or steps."""

    @property
    def total(self) -> int:
        """How far it goes."""

    def step(self) -> dict[str, float]:
        """Make one step; its losses by name."""


def state_path(path: Path) -> Path:
    """Where an unfinished training into ``path`` keeps its state."""
    return path.with_name(f"{path.name}.partial")


def run(
    job: Training,
    save: Callable[[], None],
    *,
    context: DistributedContext,
    max_seconds: float | None = None,
    unit: str = "images",
    on_progress: OnProgress,
) -> None:
    """Train to the end or until the time is up, one step at least, and ``save`` the state of what is not finished."""
    began = saved = time.perf_counter()
    before = job.done
    try:
        while job.done < job.total:
            if max_seconds is not None and job.done > before and _is_over(began + max_seconds, context):
                break
            shown = {name: f"{value:.4f}" for name, value in job.step().items()}
            on_progress(Progress(done=job.done, total=job.total, unit=unit, fields=shown))
            if time.perf_counter() - saved > SAVED_EVERY:
                _by_main(save, context)
                saved = time.perf_counter()
    finally:  # an interrupt, or an error such as a full disk: what was learned is kept
        if job.is_whole and job.done < job.total:
            _by_main(save, context)


def _is_over(end: float, context: DistributedContext) -> bool:
    """Whether the time is up by the clock of the main process."""
    over = torch.tensor([float(time.perf_counter() >= end)], device=context.device)
    return bool(context.broadcast(over).item())


def _by_main(save: Callable[[], None], context: DistributedContext) -> None:
    if context.is_main:
        save()


def save_state(
    path: Path, *, done: int, facts: Mapping[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write the state of a training, whole or not at all."""
    tensors, steps = dict(module.state_dict()), 0
    for name, weight in module.named_parameters():
        moments = optimizer.state.get(weight)
        if moments:
            steps = int(moments["step"])
            tensors[AVERAGE + name], tensors[SQUARE + name] = moments["exp_avg"], moments["exp_avg_sq"]
    text = {
        "format_version": FORMAT_VERSION,
        "sgkit_version": sgkit.__version__,
        "done": done,
        "steps": steps,
        "facts": dict(facts),
    }
    plain = {name: tensor.detach().cpu().float().contiguous() for name, tensor in tensors.items()}
    write_safetensors(plain, path, key=METADATA_KEY, header=text)


def load_state(path: Path, *, facts: Mapping[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Bring ``module`` and ``optimizer`` to the state in ``path``; how far that is.

    Raises:
        InputError: it is that of a different training; the message says what differs.
        CheckpointError: it is damaged.
    """
    advice = f"Start over with --force (in Python: overwrite=True), or choose a different --out than {path.stem}."
    try:
        raw = read_safetensors_header(path)
        with bad_data("its header"):
            values = raw.values(METADATA_KEY, names=KEYS, version=FORMAT_VERSION)
            done, steps, found = values["done"], values["steps"], values["facts"]
            if type(done) is not int or type(steps) is not int or min(done, steps) < 0 or not isinstance(found, dict):
                raise CheckpointError("its header is damaged")
        for name, new in json.loads(json.dumps(dict(facts))).items():
            if found.get(name) != new:
                old = found.get(name)
                raise InputError(f"{path} is of a training with a different {name} ({old}, not {new}). {advice}")
        tensors = {name: torch.from_numpy(array) for name, array in float_arrays(path, raw).items()}
        _take(tensors, steps, module, optimizer)
    except (CheckpointError, OSError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"Cannot continue from {path}: {error}. {advice}") from error
    return done


def _take(tensors: dict[str, Tensor], steps: int, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Copy the weights, and set the moments of Adam.

    Raises:
        RuntimeError, KeyError: a tensor is missing, unknown or of a different shape.
    """
    module.load_state_dict({name: one for name, one in tensors.items() if not name.startswith((AVERAGE, SQUARE))})
    for name, weight in module.named_parameters():
        if steps and AVERAGE + name in tensors:  # weights without gradients have no moments
            optimizer.state[weight] = {
                "step": torch.tensor(float(steps)),
                "exp_avg": tensors[AVERAGE + name].to(weight).reshape(weight.shape),
                "exp_avg_sq": tensors[SQUARE + name].to(weight).reshape(weight.shape),
            }
