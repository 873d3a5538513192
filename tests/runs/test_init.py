"""Beginning a run from a model: its networks, the recipe of the preset, and what was made of the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import sgkit
from sgkit.cli.app import main
from sgkit.model import ModelInfo
from sgkit.runs.folder import RunFolder
from tests.runs.driver import Cli


@pytest.fixture
def source(tmp_path: Path, cli: Cli) -> Path:
    assert cli.new(tmp_path / "source", "--kimg", "0.008") == 0
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
    assert event["text"].startswith(f"Started from {source} (0.008 kimg): ")
    assert "tensors copied" in event["text"]
    assert began.info.provenance["init"] == str(source)


def test_the_preset_is_the_recipe_of_other_networks(store: Path, source: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--preset", "stylegan2-mini", "--augment", "diffaugment", "--kimg", "0.016"]
    assert main(["train", str(store), "--out", str(run), "--init", str(source), *options]) == 0
    config = RunFolder(run).read_config()
    assert config.model == sgkit.load(source).config
    assert (config.preset, config.train.batch, config.train.augment.kind) == ("stylegan2-mini", 16, "diffaugment")


def test_a_model_that_is_not_there_is_named(store: Path, tmp_path: Path, cli: Cli) -> None:
    assert main(["train", str(store), "--out", str(tmp_path / "run"), "--init", str(tmp_path / "gone.pkl")]) == 1
    assert "There is no model" in cli.said()
    assert not (tmp_path / "run").exists()


def test_ada_starts_where_the_model_ended(store: Path, source: Path, tmp_path: Path) -> None:
    """As a pickle of NVIDIA's tools says it; what is asked for comes first."""
    model = sgkit.load(source)
    model.info = ModelInfo(kimg=25000.0, provenance={"augment_pipe": {"class_name": "AugmentPipe", "p": [0.375]}})
    sgkit.save(model, tmp_path / "net.safetensors")
    options = ["--kimg", "0.004", "--set", "train.batch=4", "--set", "train.num_workers=0", "--device", "cpu"]
    for more, start in (([], 0.375), (["--set", "train.augment.p=0.25"], 0.25), (["--augment", "none"], None)):
        run = tmp_path / f"run-{start}"
        command = ["train", str(store), "--out", str(run), "--init", str(tmp_path / "net.safetensors"), *options, *more]
        assert main(command) == 0
        config, lines = RunFolder(run).read_config(), (run / "log.jsonl").read_text().splitlines()
        assert (config.init_kimg, config.train.augment.p) == (25000.0, start)
        [event] = [line for line in map(json.loads, lines) if line.get("event") == "init"]
        assert f"{tmp_path / 'net.safetensors'} (25000 kimg): " in event["text"]
        assert ("Augmentation starts at p" in event["text"]) == (start is not None)
        steps = [line for line in map(json.loads, lines) if "step" in line]
        assert steps[0].get("augment_p") == (None if start is None else pytest.approx(start, abs=1e-4))


def test_p_can_be_set_on_resume(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    assert cli.new(run, "--kimg", "0.008", "--augment", "ada", "--set", "train.augment.p=0.5") == 0
    assert cli.resume(run, "--kimg", "0.016") == 0
    assert cli.resume(run, "--kimg", "0.024", "--set", "train.augment.p=0.125") == 0
    assert cli.resume(run, "--kimg", "0.032") == 0
    assert [line["augment_p"] for line in cli.log(run) if "step" in line] == pytest.approx(
        [0.5, 0.5, 0.125, 0.125], abs=1e-4
    )


@pytest.mark.parametrize("parts", ["affine", "affine,mapping", "mapping"])
def test_frozen_weights_equal_those_of_the_model(
    store: Path, source: Path, tmp_path: Path, cli: Cli, parts: str
) -> None:
    """Also in the averaged generator, and where the model's averaged and raw weights differ."""
    run, given = tmp_path / "run", sgkit.load(source)
    assert given.raw_generator is not None
    with torch.no_grad():
        for value in given.raw_generator.parameters():
            value.mul_(1.5)
        given.generator.mapping.w_avg.fill_(0.25)
    sgkit.save(given, tmp_path / "base.safetensors")
    options = ["--init", str(tmp_path / "base.safetensors"), "--preset", "stylegan2-mini", "--kimg", "0.032"]
    assert cli.train(run, *options, "--freeze", parts, "--set", "train.num_workers=0", "--set", "train.batch=8") == 0
    before, trained = given.generator.state_dict(), sgkit.load(run)
    assert trained.raw_generator is not None
    patterns = {"affine": ".affine.", "mapping": "mapping."}
    frozen = [key for key in before if any(patterns[part] in key for part in parts.split(","))]
    moved = [key for key in before if key not in frozen and not key.endswith(("taps", "noise_const"))]
    assert len(frozen) > 3
    for network in (trained.generator, trained.raw_generator):
        after = network.state_dict()
        assert [key for key in frozen if not torch.equal(before[key], after[key])] == []
        assert [key for key in moved if torch.equal(before[key], after[key])] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--init", "landscapes", "--freeze", "style"],
            "Cannot freeze 'style'. Use affine (layers from w to styles), mapping, d:N",
        ),
        (["--init", "landscapes", "--freeze", "d:0"], "Cannot freeze 'd:0'."),
        (["--freeze", "affine"], "--freeze keeps weights of the model of --init, and none is given. Add --init"),
        (
            ["--init", "landscapes", "--freeze", "d:2", "--set", "train.freeze_d=1"],
            "--set train.freeze_d=... is given together with the",
        ),
    ],
)
def test_what_cannot_be_frozen_is_said(tmp_path: Path, cli: Cli, options: list[str], message: str) -> None:
    assert cli.train(tmp_path / "run", *options) == 2
    assert message in " ".join(cli.said().split())
