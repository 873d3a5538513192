"""Memory and time of a run on this machine, measured with a few steps in a separate process.

That process starts with no memory in use, so its peak says what the steps need. It runs :func:`main`.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import TrainingError
from sgkit.model import build
from sgkit.runs.logs import peak_memory
from sgkit.runtime.allocator import keep_freed_memory
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.training.loop import train
from sgkit.training.schedules import Stage
from sgkit.training.state import TrainState

_NUM_STEPS = 8
"""Steps in total."""
_GROWN = 10**9
"""Images after which nothing grows any more: what is measured is the costliest stage."""
_LONGEST = 15.0
"""Seconds that a measured step may take; the cost of larger batches is extrapolated."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of training steps, measured with two batch sizes."""

    gib: float
    """Memory whatever the number of images: program, weights, gradients, moments."""
    gib_per_image: float
    """Memory for each image held at once."""
    seconds_per_image: float
    batch: int
    """Images of the measured steps."""

    def peak(self, num_images: int) -> float:
        """GiB at most, when that many images are held at once."""
        return self.gib + self.gib_per_image * num_images


def measure_cost(
    model: ModelConfig,
    config: TrainConfig,
    *,
    device: torch.device,
    precision: ResolvedPrecision,
    num_images: int,
    limit_gib: float | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Cost:
    """The cost of steps that hold ``num_images`` at once; fewer are tried where those would not fit.

    Raises:
        TrainingError: not even two images fit.
    """
    asked = {
        "model": model.to_dict(),
        "train": config.to_dict(),
        "device": str(device),
        "precision": precision,
        "num_images": num_images,
        "limit_gib": limit_gib or 0.6 * _free_gib(device),
    }
    alone = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
    with tempfile.TemporaryDirectory() as folder:
        question, answer, errors = (Path(folder) / name for name in ("question.json", "answer.json", "errors"))
        question.write_text(json.dumps(asked), encoding="utf-8")
        program = "from sgkit.runs.probe import main; import sys; main(*sys.argv[1:])"
        command = [sys.executable, "-c", program, str(question), str(answer)]
        with (
            errors.open("wb") as stream,
            _ended(subprocess.Popen(command, env=alone, stdout=subprocess.PIPE, stderr=stream, text=True)) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                number, _, batch = line.partition(" ")
                if number.isdecimal() and batch.strip().isdecimal():
                    stage = f"measuring memory and time of steps with {batch.strip()} images on {device}"
                    on_progress(Progress(done=int(number), total=_NUM_STEPS, unit="steps", stage=stage))
        if process.returncode != 0:
            said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = said[-1:] or [f"exit code {process.returncode}"]
            raise TrainingError(
                f"Cannot run training steps with two images on {device}: {last[0]}. The networks may be too large for "
                "this machine: use a smaller preset or smaller images."
            )
        return Cost(**json.loads(answer.read_text(encoding="utf-8")))


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """``process``, which has ended when the block has: by itself, or stopped if the block raised."""
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def main(question: str, answer: str) -> None:
    """Read what to try from the file ``question``, and write the :class:`Cost` to ``answer``, both as JSON."""
    asked = json.loads(Path(question).read_text(encoding="utf-8"))
    keep_freed_memory()  # as the command line does
    cost = _cost(
        ModelConfig.from_dict(asked["model"]),
        TrainConfig.from_dict(asked["train"]),
        torch.device(asked["device"]),
        asked["precision"],
        num_images=asked["num_images"],
        limit_gib=asked["limit_gib"],
        tell=_counter(),
    )
    Path(answer).write_text(json.dumps(asdict(cost)), encoding="utf-8")


def _counter() -> Callable[[int], None]:
    """A function that reports each step to the waiting process: its number and images."""
    numbers = itertools.count()

    def tell(batch: int) -> None:
        os.write(1, f"{next(numbers)} {batch}\n".encode())

    return tell


def _cost(
    model: ModelConfig,
    config: TrainConfig,
    device: torch.device,
    precision: ResolvedPrecision,
    *,
    num_images: int,
    limit_gib: float,
    tell: Callable[[int], None] = lambda batch: None,  # noqa: ARG005
) -> Cost:
    growth = None if config.growth is None else replace(config.growth, batches=())
    config = replace(config, total_kimg=float(_GROWN), growth=growth, micro_batch=None)
    state = TrainState.start(build(model, seed=0).to(device), config)
    small = max(2, config.pl_batch_shrink)
    before = _peak(device)
    seconds = _seconds(state, replace(config, batch=small), precision, tell)
    first = _peak(device)
    # The first steps also made gradients and moments, so this is more than images need, and safe.
    large = max(2 * small, min(num_images, int(small * (limit_gib - before) / max(first - before, 1e-6))))
    large = min(large, max(int(small * _LONGEST / seconds), 2 * small))
    large -= large % 4 if large > 4 else 0
    seconds = _seconds(state, replace(config, batch=large), precision, tell)
    second = _peak(device)
    per_image = max(second - first, 0.0) / (large - small)
    return Cost(gib=first - per_image * small, gib_per_image=per_image, seconds_per_image=seconds / large, batch=large)


def _seconds(
    state: TrainState, config: TrainConfig, precision: ResolvedPrecision, tell: Callable[[int], None]
) -> float:
    """Mean time of a step, every kind of step in its share, after one that warms up."""
    lazy_pl = config.pl_interval if config.pl_weight > 0 else 1
    lazy_d = config.d_reg_interval if config.penalizes_d else 1
    everything, plain = 0, 1
    only_pl = lazy_pl if lazy_pl > 1 and lazy_pl % lazy_d != 0 else plain
    times: list[float] = []
    context = DistributedContext(device=state.pl_mean.device)
    state.images = _GROWN
    steps = train(state, _noise(state), config, precision=precision, context=context)
    for number in (everything, everything, plain, only_pl):
        state.step = number
        tell(config.batch)
        began = time.perf_counter()
        next(iter(steps)).read()  # waits for a GPU
        times.append(time.perf_counter() - began)
    _, all_of_it, least, with_pl = times
    return least + max(with_pl - least, 0.0) / lazy_pl + max(all_of_it - with_pl, 0.0) / lazy_d


@dataclass(frozen=True)
class _Noise:
    images: torch.Tensor
    labels: torch.Tensor


def _noise(state: TrainState) -> Any:
    """A supply of noise images, which cost as much as real ones except for reading."""
    model = state.model.config

    def supply(stage: Stage, mine: range) -> Iterator[_Noise]:
        shape = (len(mine), model.image_channels, *stage.size)
        labels = torch.nn.functional.one_hot(torch.arange(len(mine)) % max(model.label_dim, 1), max(model.label_dim, 1))
        while True:
            images = torch.randint(0, 256, shape, dtype=torch.uint8)
            yield _Noise(images, labels[:, : model.label_dim].to(torch.float32))

    return supply


def _peak(device: torch.device) -> float:
    """GiB held at most so far; unlike in rusage, not counting what the process that started this one held."""
    status = Path("/proc/self/status")
    if device.type != "cuda" and status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 2**20
    return peak_memory(device) or 0.0


def _free_gib(device: torch.device) -> float:
    """Memory that is there to be used."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 2**30
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):  # Windows, macOS
        return 8.0
