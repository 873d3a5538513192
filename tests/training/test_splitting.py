"""A batch trains as one however it is split: over micro-batches and over processes, for every architecture."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing

from sgkit.config import AugmentConfig, GrowthConfig, ModelConfig, TrainConfig
from sgkit.config.presets import PRESETS
from sgkit.errors import ConfigError
from sgkit.model import Model, build
from sgkit.runtime.distributed import DistributedContext, distributed
from sgkit.training.batches import check_batch
from sgkit.training.loop import train
from sgkit.training.state import TrainState
from tests.training.driver import supply_for

BATCH, GROUP, STEPS = 10, 2, 2
GROWTH = GrowthConfig(start_resolution=8, stable_kimg=0.005, fade_kimg=0.02)
EVERYTHING: dict[str, Any] = {"pl_weight": 2.0, "r2_gamma": 0.5, "gp_weight": 1.0, "class_weight": 0.5}
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "progan": ("progan", 2, {}),
    "stylegan1": ("stylegan1-f", 0, {}),
    "stylegan2, growing": ("stylegan2-d", 3, {"loss": "relativistic"}),
    "stylegan2": ("stylegan2-f", 0, {"augment": AugmentConfig(kind="fixed", p=0.5)}),
    "ada": ("ada-cifar", 2, {"loss": "hinge"}),
    "self-modulated": ("self-modulated", 0, {}),
    "self-modulated, all terms": ("self-modulated", 2, {"loss": "relativistic", "recompute": True, **EVERYTHING}),
    "stylegan3-t": ("stylegan3-t", 0, {}),
    "stylegan3-r": ("stylegan3-r", 2, {"pl_weight": 2.0}),
}
"""Preset, length of the label, changes of the recipe."""

Values = dict[str, list[float]]
Case = Callable[[str], tuple[ModelConfig, TrainConfig]]


def started(config: ModelConfig) -> Model:
    """A model off its first values: normalising StyleGAN's constant of ones would blow rounding up."""
    model, generator = build(config, seed=1), torch.Generator().manual_seed(4)
    for network in model.networks().values():
        for key, value in network.state_dict().items():
            if key.endswith(("const", "noise_strength", "bias")):
                value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return model


def outcome(config: ModelConfig, recipe: TrainConfig, context: DistributedContext | None = None) -> Values:
    """What some steps report, and what they leave in the networks."""
    state = TrainState.start(started(config), recipe)
    values: Values = {}
    for report in train(state, supply_for(config), recipe, context=context):
        for name, value in report.values.items():
            values.setdefault(name, []).append(value)
    for name, network in state.model.networks().items():
        values |= {f"{name}.{key}": value.flatten().tolist() for key, value in network.state_dict().items()}
    return values


def assert_alike(got: Values, expected: Values) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        # Adam makes a whole step of the smallest gradient, whichever sign rounding gave it.
        loose = ".weight" in name or ".bias" in name or ".const" in name or "strength" in name
        close = pytest.approx(value, rel=1e-2 if loose else 1e-3, abs=2e-3 if loose else 1e-4)
        assert got[name] == close, name


@pytest.fixture
def case(tiny_config: Any) -> Case:
    def make(name: str) -> tuple[ModelConfig, TrainConfig]:
        row, label_dim, changes = CASES[name]
        config = tiny_config(row, label_dim=label_dim, discriminator__mbstd_group_size=GROUP)
        growth = GROWTH if config.synthesis.growing else None
        recipe = replace(PRESETS[row].train, batch=BATCH, growth=growth, d_reg_interval=2, pl_interval=2, **changes)
        return config, replace(recipe, total_kimg=BATCH * STEPS / 1000, g_lr=1e-4, d_lr=1e-4)

    return make


@pytest.fixture(scope="module")
def whole() -> Callable[[str, ModelConfig, TrainConfig], Values]:
    """The outcome of a case as a whole batch in one process, computed once."""
    known: dict[str, Values] = {}

    def of(name: str, config: ModelConfig, recipe: TrainConfig) -> Values:
        if name not in known:
            known[name] = outcome(config, recipe)
        return known[name]

    return of


@pytest.mark.parametrize("name", CASES)
def test_micro_batches_train_as_one(case: Case, whole: Any, name: str) -> None:
    config, recipe = case(name)
    assert_alike(outcome(config, replace(recipe, micro_batch=4)), whole(name, config, recipe))


def work(rank: int, folder: str, port: int, cases: dict[str, tuple[ModelConfig, TrainConfig]]) -> None:
    torch.set_num_threads(1)
    os.environ.update(WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with distributed("cpu") as context:
        # Shares of 4 and 6 images, these in two micro-batches.
        found = {
            name: outcome(config, replace(recipe, micro_batch=4), context) for name, (config, recipe) in cases.items()
        }
        torch.save(found, Path(folder, f"{rank}.pt"))


def test_processes_with_unequal_shares_train_as_one(case: Case, whole: Any, tmp_path: Path) -> None:
    cases = {name: case(name) for name in CASES}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, args=(str(tmp_path), port, cases), nprocs=2)
    for name, (config, recipe) in cases.items():
        expected = whole(name, config, recipe)
        for rank in range(2):
            assert_alike(torch.load(tmp_path / f"{rank}.pt")[name], expected)


def test_a_group_of_the_whole_batch_is_not_split() -> None:
    """ProGAN's own groups of 16 over batches of 16 to 3: in one process, and in no micro-batch below them."""
    model, recipe = PRESETS["progan"].model, PRESETS["progan"].train
    check_batch(model, recipe)
    check_batch(model, replace(recipe, micro_batch=16))
    for options in ({"world_size": 2}, {"config": replace(recipe, micro_batch=8)}):
        with pytest.raises(ConfigError, match=r"groups of 16"):
            check_batch(model, **{"config": recipe, **options})


def test_running_magnitudes_move_once_a_step_from_the_images_made_for_d(
    case: Case,
) -> None:
    """StyleGAN3: ``magnitude_ema`` after a step is the mean square of the batch's inputs, mixed in once."""
    config, recipe = case("stylegan3-t")
    state = TrainState.start(build(config, seed=1), replace(recipe, total_kimg=BATCH / 1000, micro_batch=2, g_lr=1e-30))
    layers = {spec.name: state.generator.synthesis.layer(spec.name) for spec in state.generator.synthesis.plan[1:]}
    squares: dict[str, list[torch.Tensor]] = {name: [] for name in layers}

    def note(name: str, layer: Any, args: Any) -> None:
        if layer.tracks:
            squares[name].append(args[1].features.square().mean())

    for name, layer in layers.items():
        layer.register_forward_pre_hook(partial(note, name))
    list(train(state, supply_for(config), replace(recipe, total_kimg=BATCH / 1000, micro_batch=2)))
    alias_free = config.synthesis.alias_free
    assert alias_free is not None
    for name, layer in layers.items():
        assert len(squares[name]) == BATCH // 2
        expected = torch.stack(squares[name]).mean().lerp(torch.ones([]), alias_free.magnitude_ema_beta)
        torch.testing.assert_close(layer.magnitude_ema, expected)
