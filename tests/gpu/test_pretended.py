"""Every command on a device that is none: no tensor may stay on the CPU where a GPU is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit import checkpoint
from sgkit.cli.app import main
from sgkit.model import Model

pytest.importorskip("torch.utils.backend_registration")

CODE = """
import json, sys
from tests.gpu.pretended import DEVICE, Pretend, main
import torch
print(json.dumps(main(json.load(sys.stdin))))
with Pretend():
    try:
        torch.ones(2, device=DEVICE) + torch.ones(2)
    except RuntimeError as error:
        print(error)
"""
PRESETS = ("stylegan2-f", "stylegan1-f", "stylegan3-r", "self-modulated", "progan")
SETS = (
    *("--set", "model.synthesis.channel_base=64", "--set", "model.synthesis.channel_max=8", "--set"),
    *("model.discriminator.channel_base=64", "--set", "model.discriminator.channel_max=8", "--kimg", "0.016"),
)


def commands(folder: Path) -> list[list[str]]:
    """Words of the commands, with the models and images of ``folder``."""
    models = [str(folder / f"{name}.safetensors") for name in PRESETS]
    model, store, image = models[0], str(folder / "store"), str(folder / "images" / "0.png")
    out = (str(folder / f"{number}.png") for number in range(100))
    found = [["generate", each, "--seeds", "0-1", "--out", next(out)] for each in models]
    found += [["panorama", each, "--seeds", "0-1", "--out", next(out)] for each in models]
    found += [
        ["mix", model, "--rows", "1", "--cols", "2", "--out", next(out)],
        ["interpolate", model, "--seeds", "0-1", "--frames", "2", "--out", str(folder / "walk.webp")],
        ["panorama", model, "--endless", "1", "--grid", "2x2", "--tile", "32", "--wrap", "both", "--out", next(out)],
        ["blend", model, "--seeds", "1,2", "--out", next(out)],
        ["expand", model, "--seeds", "1", "--factor", "2x1", "--out", next(out)],
        ["shift", model, "--seeds", "1", "--random", "2", "--out", next(out)],
        ["transfer", model, "--source", "1", "--reference", "2=box:0,0.5,1,1", "--out", next(out)],
        ["translate", model, model, "--seeds", "1", "--out", next(out)],
        ["directions", "find", model, "--out", str(folder / "sefa.safetensors")],
        ["directions", "find", model, "--method", "pca", "--samples", "20", "--out", str(folder / "pca.safetensors")],
        ["edit", model, "--seeds", "1", "--move", f"{folder}/sefa.safetensors:0=2", "--out", next(out)],
        ["drag", model, "--seeds", "1", "--point", "4,4:6,4", "--steps", "2", "--out", next(out)],
        *(
            ["project", model, image, "--space", space, "--prior", prior, "--steps", "2", "--out", f"{folder}/{space}"]
            for space, prior in (("w", "none"), ("w+", "delta"), ("s", "gaussian"), ("p+", "p"), ("z", "none"))
        ),
        ["tune", model, f"{folder}/w/0", "--steps", "2", "--out", str(folder / "delta.safetensors")],
        ["encoder", "train", model, "--kimg", "0.016", "--out", str(folder / "encoder.safetensors")],
        ["metrics", model, "--data", store, "--metrics", "ms_ssim,fd_d", "--num-images", "8", "--num-data", "8"],
        *(
            ["train", store, "--preset", preset, "--out", f"{folder}/run-{preset}", "--batch", "4", *SETS]
            for preset in ("stylegan2-f", "self-modulated", "stylegan3-t")
        ),
    ]
    return found


def test_no_command_mixes_devices(tiny_model: Callable[..., Model], tmp_path: Path) -> None:
    for name in PRESETS:
        checkpoint.save(tiny_model(name, size=(16, 16)), tmp_path / f"{name}.safetensors")
    (tmp_path / "images").mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    assert main(["prepare", str(tmp_path / "images"), "--size", "16", "--out", str(tmp_path / "store")]) == 0
    done = subprocess.run(
        [sys.executable, "-c", CODE], input=json.dumps(commands(tmp_path)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *_, failed, mixed = done.stdout.splitlines()
    assert not json.loads(failed), "\n".join(json.loads(failed))
    assert mixed == "aten.add.Tensor of tensors [(2,)] on pretended:0 and [(2,)] on the cpu."
