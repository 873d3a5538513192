"""Beginning a run from a model: its networks, the recipe of the preset, and what was made of the weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import sgkit
from sgkit.cli.app import main
from sgkit.training.run import RunFolder


@pytest.fixture
def source(tmp_path: Path, new_run: Callable[..., int]) -> Path:
    assert new_run(tmp_path / "source", "--kimg", "0.008") == 0
    return tmp_path / "source"


def test_a_run_begins_with_the_weights_of_a_model(store: Path, source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--kimg", "0.008", "--set", "train.batch=8", "--set", "train.freeze_d=1", "--set", "train.num_workers=0"]
    assert main(["train", str(store), "--out", str(run), "--init", str(source), *options]) == 0
    began, given = sgkit.load(run / "snapshots" / "000000.000" / "model.safetensors"), sgkit.load(source)
    for name, network in given.networks().items():
        values = began.networks()[name].state_dict()
        assert [key for key, value in network.state_dict().items() if not torch.equal(value, values[key])] == []
    config = RunFolder(run).read_config()
    assert (config.preset, config.init, config.model) == ("ada-auto", str(source), given.config)
    assert (config.train.augment.kind, config.train.augment.kimg, config.train.ema_rampup) == ("ada", 100.0, None)
    [event] = [
        line for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if line.get("event") == "init"
    ]
    assert event["text"].startswith(f"Began from {source}: ")
    assert "tensors copied" in event["text"]
    assert began.info.provenance["init"] == str(source)


def test_the_preset_is_the_recipe_of_other_networks(store: Path, source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--preset", "stylegan2-mini", "--augment", "diffaugment", "--kimg", "0.016"]
    assert main(["train", str(store), "--out", str(run), "--init", str(source), *options]) == 0
    config = RunFolder(run).read_config()
    assert config.model == sgkit.load(source).config
    assert (config.preset, config.train.batch, config.train.augment.kind) == ("stylegan2-mini", 16, "diffaugment")


def test_a_model_that_is_not_there_is_named(store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(store), "--out", str(tmp_path / "run"), "--init", str(tmp_path / "gone.pkl")]) == 1
    assert "There is no model" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
