from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import TrainingError
from sgkit.model import build
from sgkit.training.state import TrainState, load_state, save_state

Start = Callable[[TrainConfig], TrainState]


def test_a_model_without_discriminator_or_raw_generator_is_refused(
    model_config: ModelConfig, train_config: TrainConfig
) -> None:
    model = build(model_config)
    with pytest.raises(TrainingError, match="only the averaged generator"):
        TrainState.start(replace(model, raw_generator=None), train_config)
    with pytest.raises(TrainingError, match="has no discriminator"):
        TrainState.start(replace(model, discriminator=None), train_config)


def test_optimizers_are_rescaled_for_lazy_regularization(start: Start, train_config: TrainConfig) -> None:
    group = start(train_config).players["d"].optimizer.param_groups[0]
    assert group["lr"] == pytest.approx(0.002 * 3 / 4)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (3 / 4)))
    plain = start(replace(train_config, pl_weight=0.0)).players["g"].optimizer.param_groups[0]
    assert (plain["lr"], plain["betas"]) == (0.002, (0.0, 0.99))


def test_the_state_before_the_first_step_is_kept_too(start: Start, train_config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(start(train_config), path)
    state = start(train_config)
    load_state(state, path)
    assert (state.images, state.step, len(state.players["g"].optimizer.state)) == (0, 0, 0)


def trained(state: TrainState) -> TrainState:
    for player in state.players.values():
        for parameter in player.parameters:
            parameter.grad = torch.ones_like(parameter)
        player.optimizer.step()
    state.step, state.images = 1, 8
    return state


def test_files_are_for_everyone_that_the_umask_lets_read(
    start: Start, train_config: TrainConfig, tmp_path: Path
) -> None:
    save_state(start(train_config), tmp_path / "state.safetensors")
    (tmp_path / "plain").touch()
    assert (tmp_path / "state.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), r"cannot be read .*Remove its snapshot folder"),
        (lambda path: path.write_bytes(b"nonsense"), r"cannot be read"),
        (lambda path: path.unlink(), r"cannot be read"),
        (lambda path: save_file({"x": torch.zeros(1)}, path), r"is no training state of sgkit"),
        (
            lambda path: save_file({}, path, metadata={"sgkit": '{"format": "sgkit-training-state", "version": 9}'}),
            r"version 9; this sgkit reads version 2\. Use the sgkit that wrote it",
        ),
    ],
)
def test_damaged_files_are_refused(
    start: Start, train_config: TrainConfig, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "state.safetensors"
    save_state(trained(start(train_config)), path)
    damage(path)
    with pytest.raises(TrainingError, match=message):
        load_state(start(train_config), path)


def test_states_of_other_networks_are_refused(start: Start, train_config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(trained(start(train_config)), path)
    tensors, name = load_file(path), "g.exp_avg.mapping.fc0.weight"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    for changed, message in [
        (
            {key: value for key, value in tensors.items() if key != name},
            rf"does not fit train.freeze_d, .*lacks '{name}'",
        ),
        (tensors | {name: torch.zeros(2, 3)}, r"is \[2, 3\], the network's is \[5, 6\]"),
        (tensors | {"g.exp_avg.more": torch.zeros(1)}, r"does not fit train.freeze_d, .*holds 'g.exp_avg.more'"),
    ]:
        save_file(changed, path, metadata=metadata)
        with pytest.raises(TrainingError, match=message):
            load_state(start(train_config), path)
