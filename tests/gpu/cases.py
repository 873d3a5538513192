"""What the tests on a GPU and the report on one have in common."""

from __future__ import annotations

import itertools
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import CheckpointWarning
from sgkit.model import MapNoise, Plan, build
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.training.batches import Shard, Supply
from sgkit.training.rng import Rng
from sgkit.training.schedules import Stage, stage_at
from sgkit.training.state import TrainState
from sgkit.training.step import TrainingStep

FIXTURES = Path(__file__).parents[1] / "fixtures"
sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))
import check  # noqa: E402 - a script beside its own modules
from recipes import Recipe  # noqa: E402

MODES = ("fp32", "tf32", "bf16", "fp16")
LIMITS = {"fp32": 2e-5, "tf32": 0.02, "bf16": 0.05, "fp16": 0.02}
"""Mode -> error allowed: in fp32 the largest one relative to the array's largest magnitude, as on the CPU; elsewhere
the root mean square relative to the array's, of images and logits."""
CPU = torch.device("cpu")


@contextmanager
def computing(mode: str, device: torch.device) -> Iterator[ResolvedPrecision]:
    """A block whose products are made in ``mode``; the precision that goes with it."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    precision: ResolvedPrecision = mode if mode in ("bf16", "fp16") else "fp32"  # type: ignore[assignment]
    allow_tf32(mode == "tf32")
    try:
        with autocast(precision, device):
            yield precision
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def allow_tf32(allowed: bool) -> None:
    """Allow TF32 everywhere, or nowhere."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def fixtures() -> list[Path]:
    """Golden cases of official implementations that hold arrays."""
    strange = ("malic", "lucid", "SOAT")
    cases = sorted(file.parent for file in FIXTURES.glob("*/case.json"))
    return [case for case in cases if not str(_info(case).get("framework", "")).startswith(strange)]


@torch.no_grad()
def parity_errors(case: Path, device: torch.device, modes: tuple[str, ...] = MODES) -> dict[str, dict[str, float]]:
    """Mode -> array -> error, of a golden case computed on ``device``."""
    found: dict[str, dict[str, float]] = {mode: {} for mode in modes}
    inputs = {name: torch.from_numpy(array).to(device) for name, array in check._arrays(case / "inputs.npz").items()}
    outputs, entries = check._arrays(case / "outputs.npz"), _info(case).get("outputs", {})
    texts = {name: entry.get("what", "") for name, entry in entries.items() if isinstance(entry, dict)}
    report = check.Report(case.name)
    for file in sorted(file for file in case.iterdir() if file.suffix in check.CHECKPOINTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)
            wanted_arrays = list(check._assignments(file, outputs, texts, report))
        for name, wanted, model in wanted_arrays:
            model.to(device)
            is_picture = wanted.what in ("img", "logits", "scores") and set(wanted.modifiers) <= {"lod", "alpha"}
            for mode in modes:
                if mode != "fp32" and (not is_picture or wanted.role == "raw_generator"):
                    continue
                with computing(mode, device):
                    got = Recipe(model, inputs).compute(wanted).cpu()
                error = check._error if mode == "fp32" else check._mean_error
                found[mode][f"{file.name}: {name}"] = error(got, outputs[name])
    assert not report.problems, report.problems
    return found


def _info(case: Path) -> dict[str, Any]:
    info: dict[str, Any] = json.loads((case / "case.json").read_text())
    return info


# ------------------------------------------------------------------------------------------------ training


class CpuRng(Rng):
    """Noise made on the CPU and moved, so that it is the same on every device."""

    def pixel_normal(self, purpose: str, numbers: Any, shape: Any) -> Tensor:
        """As on the CPU."""
        return Rng(seed=self.seed, device=CPU).pixel_normal(purpose, numbers, shape).to(self.device)

    def noise(self, purpose: str, numbers: Any, plan: Plan) -> MapNoise:
        """As on the CPU."""
        maps = Rng(seed=self.seed, device=CPU).noise(purpose, numbers, plan).maps
        return MapNoise({name: values.to(self.device) for name, values in maps.items()})


@dataclass(frozen=True)
class Batch:
    images: Tensor
    labels: Tensor


def noise_batches(model: ModelConfig, *, seed: int = 0, distinct: int = 2) -> Supply:
    """Endless batches of a few noise images, as a store gives them."""

    def supply(stage: Stage, mine: range) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        shape = (len(mine), model.image_channels, *stage.size)
        labels = torch.eye(max(model.label_dim, 1))[torch.arange(len(mine)) % max(model.label_dim, 1)]
        made = [torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for _ in range(distinct)]
        for images in itertools.cycle(made):
            yield Batch(images, labels[:, : model.label_dim])

    return supply


def start(model: ModelConfig, config: TrainConfig, device: torch.device, *, seed: int = 0) -> TrainState:
    """The start of a run on ``device``."""
    return TrainState.start(build(model, seed=seed).to(device), config)


def updates(
    model: ModelConfig, config: TrainConfig, device: torch.device
) -> dict[str, tuple[dict[str, float], Tensor]]:
    """Update -> its losses and its gradient as one vector on the CPU, with the CPU's random numbers."""
    state = start(model, replace(config, precision="fp32"), device)
    step = TrainingStep(
        state=state,
        config=config,
        stage=stage_at(0, model, config),
        rng=CpuRng(seed=config.seed, device=device),
        context=DistributedContext(device=device),
        precision="fp32",
    )
    batch = next(iter(noise_batches(model)(step.stage, range(config.batch))))
    images = batch.images.to(device).float() / 127.5 - 1.0
    labels = batch.labels.to(device) if model.label_dim else None
    shards = [Shard(images=images, labels=labels, numbers=range(config.batch))]
    found = {}
    for name, which, update in (
        ("d", "d", lambda: step.update_d(shards, penalties=False)),
        ("r1", "d", lambda: step.update_d(shards, adversarial=False, penalties=True)),
        ("g", "g", lambda: step.update_g(shards, path_length=False)),
        ("pl", "g", lambda: step.update_g(shards, adversarial=False, path_length=True)),
    ):
        for optimizer in state.optimizers.values():  # all updates start from the same weights
            for group in optimizer.param_groups:
                group["lr"] = 0.0
        values = update().read()[0]
        parameters = [value for group in state.optimizers[which].param_groups for value in group["params"]]
        gradient = torch.cat([value.grad.detach().reshape(-1).cpu() for value in parameters if value.grad is not None])
        found[name] = (values, gradient)
    return found


def difference(one: Tensor, other: Tensor) -> float:
    """Norm of the difference relative to that of ``other``."""
    return float((one.double() - other.double()).norm() / other.double().norm().clamp(min=1e-30))
