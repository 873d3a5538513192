"""Trainings of encoders and tunings by real processes: killed at any moment, and shared by torchrun's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sgkit
from sgkit.checkpoint import save
from sgkit.cli.app import main
from sgkit.config.encoder import EncoderSettings
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.inversion import ProjectSettings, project_files
from sgkit.inversion.encoder_training import EncoderTraining
from sgkit.inversion.training_state import METADATA_KEY, load_state, save_state
from sgkit.runtime.distributed import DistributedContext
from sgkit.tasks.info import info
from sgkit.unpickle.safetensors_header import read_safetensors_header
from tests.builders import drawn_model

COMMANDS = {
    "encoder": "encoder train m.safetensors --kimg 0.096 --batch 8 --device cpu",
    "tune": "tune m.safetensors projected --steps 12 --loss pixels --lr 0.003 --device cpu",
}
SLOW = """
import sys, time
from sgkit.cli.app import main
from sgkit.inversion import training_state
from sgkit.inversion.encoder_training import EncoderTraining
from sgkit.inversion.tuning import Tuning
training_state.SAVED_EVERY = 0
for kind in (EncoderTraining, Tuning):
    def slow(job, step=kind.step):
        time.sleep(0.03)
        return step(job)
    kind.step = slow
main(sys.argv[1:])
"""
"""The command, which saves its state at every step, and takes its time."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    save(drawn_model(noise=0.1), folder / "m.safetensors")
    model = sgkit.load(folder / "m.safetensors")
    model.generate([40, 41]).save(folder / "images")
    settings = ProjectSettings(steps=1, loss="pixels", w_samples=20)
    project_files(model, folder / "images", folder / "projected", settings)
    return folder


def environment() -> dict[str, str]:
    return {name: one for name, one in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}


def done_of(state: Path) -> int:
    """How far the training in a state file is; 0: there is none yet."""
    try:
        return int(json.loads(read_safetensors_header(state).metadata[METADATA_KEY])["done"])
    except (OSError, CheckpointError):
        return 0


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("here")
def test_a_killed_command_continues_to_the_same_bits(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = COMMANDS[name].split()
    assert main([*line, "--out", "straight.safetensors"]) == 0
    state, steps = Path("out.safetensors.partial"), {"encoder": 8, "tune": 1}[name]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *line, "--out", "out.safetensors"], env=environment())
    end = time.monotonic() + 100
    while done_of(state) < 4 * steps and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 4 * steps <= done_of(state) < 12 * steps
    assert not Path("out.safetensors").exists()
    capsys.readouterr()
    assert main([*line, "--out", "out.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed_from"] >= 4 * steps
    assert Path("out.safetensors").read_bytes() == Path("straight.safetensors").read_bytes()
    assert not state.exists()
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("here")
def test_a_tuning_of_other_settings_or_images_is_not_continued(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*COMMANDS["tune"].split(), "--out", "out.safetensors"]
    from sgkit.inversion.tuning import Tuning

    step = Tuning.step

    def interrupted(job: Tuning) -> dict[str, float]:
        if job.done == 5:
            raise KeyboardInterrupt
        return step(job)

    with monkeypatch.context() as patch:
        patch.setattr(Tuning, "step", interrupted)
        assert main(line) == 130
    assert "out.safetensors.partial: the same command continues" in capsys.readouterr().err
    assert done_of(Path("out.safetensors.partial")) == 5
    for change, text in (
        (["--seed", "1"], "a different seed (0, not 1). Start over with --force"),
        (["projected/" + sorted(path.name for path in Path("projected").iterdir() if path.is_dir())[0]], "images"),
    ):
        assert main([*line, *change] if change[0] == "--seed" else [*line[:2], *change, *line[3:]]) == 1
        assert text in capsys.readouterr().err
    assert main([*line, "--seed", "1", "--force"]) == 0


def test_states_that_do_not_fit_are_named(tmp_path: Path) -> None:
    module, path = torch.nn.Linear(2, 2), tmp_path / "a.safetensors.partial"
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    save_state(path, done=3, facts={"seed": 0}, module=module, optimizer=optimizer)
    assert info(path).kind == "training-state"  # type: ignore[union-attr]
    other = torch.nn.Linear(2, 2)
    again = torch.optim.Adam(other.parameters())
    assert load_state(path, facts={"seed": 0}, module=other, optimizer=again) == 3
    assert torch.equal(other.weight, module.weight)
    assert again.state[other.weight]["step"] == 1
    with pytest.raises(InputError, match=r"a different seed \(0, not 1\)"):
        load_state(path, facts={"seed": 1}, module=other, optimizer=again)
    with pytest.raises(CheckpointError, match=r"Cannot continue from .*partial: .* --force"):
        load_state(path, facts={}, module=torch.nn.Linear(2, 3), optimizer=again)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"Cannot continue from .*cut short"):
        load_state(path, facts={}, module=other, optimizer=again)


# ------------------------------------------------------------------------------------------------- torchrun


def torchrun(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sgkit"]
    return subprocess.run(
        [*command, *line], env=environment(), capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.usefixtures("here")
def test_two_processes_train_the_encoder_that_one_trains() -> None:
    assert main(["prepare", "images", "--size", "16", "--out", "store"]) == 0
    line = [*COMMANDS["encoder"].split(), "--data", "store", "--precision", "fp32"]
    assert main([*line, "--out", "one.safetensors"]) == 0
    done = torchrun([*line, "--out", "two.safetensors", "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 96
    one, two = (load_file(f"{name}.safetensors") for name in ("one", "two"))
    moved = max(float((one[name] - value).abs().max()) for name, value in two.items())
    assert 0 < moved < 2e-4
    assert not Path("two.safetensors.partial").exists()


@pytest.mark.usefixtures("here")
def test_what_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    of_two = DistributedContext(world_size=2)
    with pytest.raises(UsageError, match=r"2 processes cannot share a batch of 7 images equally. Use --batch 6"):
        EncoderTraining(model=drawn_model(), settings=EncoderSettings(batch=7), context=of_two)
    with pytest.raises(UsageError, match=r"half of a batch \(with real images, --data\) of 6 .* Use --batch 4"):
        EncoderTraining(
            model=drawn_model(), settings=EncoderSettings(batch=6), context=of_two, supply=lambda *_: iter([])
        )
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*COMMANDS["tune"].split(), "--out", "a.safetensors"]) == 2
    assert "sgkit tune runs in one process" in capsys.readouterr().err
