"""The file of a training state: complete, private to nobody, and refused where it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sgkit.config import TrainConfig
from sgkit.errors import TrainingError
from sgkit.model import build
from sgkit.runs.state import load_state, save_state
from sgkit.training.optimizers import trained_parameters
from sgkit.training.state import TrainState

Start = Callable[[], TrainState]


@pytest.fixture
def start(tiny_config: Any) -> Start:
    return lambda: TrainState.start(build(tiny_config(), seed=1), TrainConfig())


def test_the_state_before_the_first_step_is_kept_too(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(start(), path)
    state = start()
    load_state(state, path)
    assert (state.images, state.step, len(state.optimizers["g"].state)) == (0, 0, 0)


def trained(state: TrainState) -> TrainState:
    for optimizer in state.optimizers.values():
        for parameter in trained_parameters(optimizer):
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    state.step, state.images = 1, 8
    return state


def test_files_are_for_everyone_that_the_umask_lets_read(start: Start, tmp_path: Path) -> None:
    save_state(start(), tmp_path / "state.safetensors")
    (tmp_path / "plain").touch()
    assert (tmp_path / "state.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), r"cannot be read .*Remove its snapshot folder"),
        (lambda path: path.write_bytes(b"nonsense"), r"cannot be read"),
        (lambda path: path.unlink(), r"cannot be read"),
        (lambda path: save_file({"x": torch.zeros(1)}, path), r"is not a training state of sgkit"),
        (
            lambda path: save_file({}, path, metadata={"sgkit": '{"format": "sgkit-training-state", "version": 9}'}),
            r"version 9; this sgkit reads version 2\. Use the sgkit that wrote it",
        ),
    ],
)
def test_damaged_files_are_refused(start: Start, tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "state.safetensors"
    save_state(trained(start()), path)
    damage(path)
    with pytest.raises(TrainingError, match=message):
        load_state(start(), path)


def test_states_of_other_networks_are_refused(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(trained(start()), path)
    tensors, name = load_file(path), "g.exp_avg.mapping.fc0.weight"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    for changed, message in [
        (
            {key: value for key, value in tensors.items() if key != name},
            rf"does not fit train.freeze_d, .*lacks '{name}'",
        ),
        (tensors | {name: torch.zeros(2, 3)}, r"is \[2, 3\], the network's is \[12, 12\]"),
        (tensors | {"g.exp_avg.more": torch.zeros(1)}, r"does not fit train.freeze_d, .*holds 'g.exp_avg.more'"),
    ]:
        save_file(changed, path, metadata=metadata)
        with pytest.raises(TrainingError, match=message):
            load_state(start(), path)
