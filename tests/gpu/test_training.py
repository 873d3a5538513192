from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sgkit.config import AugmentConfig, TrainConfig
from sgkit.runs.state import load_state, save_state
from sgkit.runtime.distributed import DistributedContext
from sgkit.training.loop import train
from tests.gpu.cases import allow_tf32, difference, noise_batches, start, updates
from tests.training.driver import tensors

CONFIG = TrainConfig(total_kimg=0.064, batch=8, r1_gamma=1.0, d_reg_interval=4, pl_interval=2, precision="fp32")
LOSS, GRADIENT = 1e-4, 5e-3
"""Relative differences of losses and gradients between devices in fp32. Generated images of an untrained G are nearly
the same, and the slope of their small deviation over the minibatch magnifies rounding."""


def kept(state: Any) -> dict[str, torch.Tensor]:
    return {name: value.cpu() for name, value in tensors(state).items()}


def trained(model: Any, config: TrainConfig, device: torch.device, **options: Any) -> tuple[Any, list[Any]]:
    """The state after a whole run, and its reports."""
    state, precision = start(model, config, device), config.precision
    context = DistributedContext(device=device)
    steps = train(state, noise_batches(model), config, context=context, precision=precision, **options)
    return state, [report.read() for report in list(steps)]


@pytest.mark.parametrize(("preset", "label_dim"), [("stylegan2-f", 0), ("stylegan2-f", 3), ("stylegan3-t", 0)])
def test_losses_and_gradients_are_those_of_the_cpu(
    tiny_config: Any, device: torch.device, preset: str, label_dim: int
) -> None:
    allow_tf32(False)
    model = tiny_config(preset, label_dim=label_dim)
    here, there = (updates(model, CONFIG, place) for place in (device, torch.device("cpu")))
    for name, (values, gradient) in there.items():
        assert here[name][0] == pytest.approx(values, rel=LOSS, abs=1e-6)
        assert difference(here[name][1], gradient) < GRADIENT


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("augment", ["none", "diffaugment"])
def test_graphs_train_as_called_updates_do(
    tiny_config: Any, device: torch.device, precision: Any, augment: Any
) -> None:
    model = tiny_config("stylegan2-f", label_dim=2)
    config = replace(CONFIG, augment=AugmentConfig(kind=augment), precision=precision)
    called, plain = trained(model, replace(config, cuda_graphs="off"), device)
    recorded, again = trained(model, config, device)
    if device.type == "cuda":
        assert [report.notes for report in again] == [()] * len(again)
    limit = 1e-3 if precision == "fp32" else 0.03
    for one, other in zip(plain, again, strict=True):
        assert other.values == pytest.approx(one.values, rel=limit, abs=limit)
    assert difference(*(torch.cat([x.flatten() for x in kept(s).values()]) for s in (recorded, called))) < limit


@pytest.mark.parametrize("augment", ["none", "ada"])
def test_no_step_waits_for_the_gpu(tiny_config: Any, device: torch.device, augment: Any) -> None:
    model = tiny_config("stylegan2-f")
    config = replace(CONFIG, augment=AugmentConfig(kind=augment, interval=100), total_kimg=0.04, cuda_graphs="off")
    state = start(model, config, device)
    state.augment = replace(state.augment, p=0.5)
    steps = train(state, noise_batches(model), config, context=DistributedContext(device=device), precision="fp32")
    reports = [next(steps)]  # moments are made, tables are copied
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        reports += list(steps)
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert all("loss_g" in report.read().values for report in reports)


def test_a_resumed_run_continues_as_the_whole_one(tiny_config: Any, device: torch.device, tmp_path: Path) -> None:
    model, config = tiny_config("stylegan2-f"), replace(CONFIG, total_kimg=0.032)
    whole, _ = trained(model, config, device)
    first, _ = trained(model, replace(config, total_kimg=0.016), device)
    save_state(first, tmp_path / "state")
    second = start(model, config, device, seed=7)
    for name, network in second.model.networks().items():
        network.load_state_dict(first.model.networks()[name].state_dict())
    load_state(second, tmp_path / "state")
    context = DistributedContext(device=device)
    for report in train(second, noise_batches(model), config, context=context, precision="fp32"):
        report.read()
    # Sums whose order is not fixed differ in their last bits, and Adam's first steps have no size of their own.
    assert difference(*(torch.cat([x.flatten() for x in kept(s).values()]) for s in (second, whole))) < 2e-2


def test_fp16_trains(tiny_config: Any, device: torch.device) -> None:
    if device.type == "cpu":
        pytest.skip("fp16 is for GPUs")
    state, reports = trained(tiny_config("stylegan2-f"), replace(CONFIG, precision="fp16"), device)
    assert reports[-1].values["scale_g"] >= 1
    assert all(value.isfinite().all() for value in kept(state).values())
