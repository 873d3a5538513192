from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.render.files import read_sheet
from sgkit.render.scene import Alone, Seed, Subject
from tests.builders import drawn_model


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sgkit.Model:
    monkeypatch.chdir(tmp_path)
    sgkit.save(drawn_model(noise=0.2), "m.safetensors")
    return sgkit.load("m.safetensors")


def test_images_are_arrays_tensors_files_and_show_themselves(model: sgkit.Model) -> None:
    images = model.generate(seeds=range(3), psi=0.7)
    expected = model.synthesize(model.map(model.sample_z(range(3)), psi=0.7))
    assert torch.equal(images.tensor(), expected)
    assert images.numpy().shape == (3, 16, 16, 3)
    images.save("grid.png", columns=3)
    images[0].save("one.png")
    with Image.open("grid.png") as grid, Image.open("one.png") as one:
        assert (grid.size, one.size) == ((48, 16), (16, 16))
    assert read_sheet("one.png").filled[0].models["model"].path == "m.safetensors"
    assert images._repr_png_()[:4] == images[0]._repr_png_()[:4] == b"\x89PNG"


def test_everyday_calls(model: sgkit.Model) -> None:
    scene = sgkit.Scene(subjects={"a": Subject(source=Seed(seed=1))}, arrangement=Alone(of="a"))
    assert np.array_equal(model.render(scene).numpy(), model.generate([1]).numpy())
    assert len(model.mix([0, 1], [2], layers=(0, 1))) == 2
    assert len(list(model.interpolate([0, 1], frames=3))) == 3
    assert model.panorama([0, 1, 2], pixels=40).pixels.shape == (16, 40, 3)
    model.generate([4])[0].save("photo.png")
    latents = model.project("photo.png", steps=2, w_samples=10, loss="pixels")
    assert latents.space == "w"
    assert model.generate(latents).numpy().shape == (1, 16, 16, 3)
    assert repr(model) == "<sgkit.Model modulated 16x16, 0 kimg, cpu>"


def test_the_package_lists_its_names() -> None:
    assert {"load", "save", "Model", "Scene", "save_image"} <= set(dir(sgkit))
    for name in dir(sgkit):
        assert getattr(sgkit, name) is not None
    with pytest.raises(AttributeError, match="module 'sgkit' has no attribute 'lod'"):
        _ = sgkit.lod  # type: ignore[attr-defined]
