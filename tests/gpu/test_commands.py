from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit import checkpoint
from sgkit.cli.app import main
from sgkit.training.rng import Rng


@pytest.fixture
def model_file(tiny_model: Any, tmp_path: Path) -> str:
    file = tmp_path / "model.safetensors"
    checkpoint.save(tiny_model("stylegan2-f"), file)
    return str(file)


def run(*words: str) -> None:
    assert main(list(words)) == 0


def pixels(file: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(file).convert("RGB")).astype(float)


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_a_seed_gives_the_same_image_as_on_the_cpu(
    model_file: str, device: torch.device, tmp_path: Path, noise: str
) -> None:
    here, there = tmp_path / "here.png", tmp_path / "there.png"
    for file, name in ((here, device.type), (there, "cpu")):
        words = ("--device", name, "--precision", "fp32", "--noise", noise, "--out", str(file))
        run("generate", model_file, "--seeds", "3", *words)
    assert np.abs(pixels(here) - pixels(there)).max() <= 1


def test_a_panorama_is_that_of_the_cpu(model_file: str, device: torch.device, tmp_path: Path) -> None:
    here, there = tmp_path / "here.png", tmp_path / "there.png"
    for file, name in ((here, device.type), (there, "cpu")):
        words = ("--seeds", "1,2", "--precision", "fp32", "--device", name, "--out", str(file))
        run("panorama", model_file, *words)
    assert np.abs(pixels(here) - pixels(there)).max() <= 1


def test_a_projection_finds_the_image_again(model_file: str, device: torch.device, tmp_path: Path) -> None:
    target = tmp_path / "target.png"
    run("generate", model_file, "--seeds", "5", "--device", "cpu", "--out", str(target))
    words = ("--steps", "8", "--loss", "both", "--device", device.type)
    run("project", model_file, str(target), "--out", str(tmp_path / "found"), *words)
    assert list((tmp_path / "found").rglob("latent.npz"))


def test_small_random_numbers_are_those_of_the_cpu(device: torch.device) -> None:
    here, there = (Rng(seed=3, device=place) for place in (device, torch.device("cpu")))
    for one, other in (
        (here.normal("g.z", [4, 5], [7]), there.normal("g.z", [4, 5], [7])),
        (here.uniform("g.mixing", [4, 5], [2]), there.uniform("g.mixing", [4, 5], [2])),
    ):
        assert torch.equal(one.cpu(), other)


@pytest.mark.usefixtures("cheap_features")
def test_metrics_are_those_of_the_cpu(model_file: str, device: torch.device, tmp_path: Path, capsys: Any) -> None:
    run("generate", model_file, "--seeds", "0-7", "--device", "cpu", "--out", str(tmp_path / "data"))
    values = []
    for name in (device.type, "cpu"):
        capsys.readouterr()
        words = ("--metrics", "fd_effnet", "--num-images", "16", "--device", name, "--precision", "fp32", "--json")
        run("metrics", model_file, "--data", str(tmp_path / "data"), *words)
        (found,) = json.loads(capsys.readouterr().out)["metrics"]
        values.append(found["value"])
    assert values[0] == pytest.approx(values[1], rel=1e-3)
