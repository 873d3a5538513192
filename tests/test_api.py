"""The Python interface reads as one would guess it, and explains what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main
from sgkit.render.files import read_sheet
from sgkit.render.scene import Alone, Seed, Subject
from tests.builders import drawn_model


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sgkit.Model:
    monkeypatch.chdir(tmp_path)
    sgkit.save(drawn_model(noise=0.2), "m.safetensors")
    return sgkit.load("m.safetensors")


@pytest.fixture
def conditional(tmp_path: Path) -> sgkit.Model:
    sgkit.save(drawn_model(label_dim=3), tmp_path / "c.safetensors")
    return sgkit.load(tmp_path / "c.safetensors")


SEEDS: list[tuple[Any, list[int]]] = [
    (range(2), [0, 1]),
    (3, [3]),
    (np.int64(3), [3]),
    (torch.tensor(3), [3]),
    ([1, 4], [1, 4]),
    ((n for n in (1, 4)), [1, 4]),
    (np.array([1, 4]), [1, 4]),
    (np.array([1, 4], np.uint8), [1, 4]),
    (torch.tensor([1, 4]), [1, 4]),
    ([torch.tensor(1), np.int32(4)], [1, 4]),
    ("7", [7]),
    ("0,3, 7-9", [0, 3, 7, 8, 9]),
    (["0-1", 5], [0, 1, 5]),
]


@pytest.mark.parametrize(("given", "seeds"), SEEDS, ids=lambda value: str(value)[:20])
def test_seeds_are_given_as_one_likes(model: sgkit.Model, given: Any, seeds: list[int]) -> None:
    assert [one.name for one in model.generate(given)] == [f"seed{seed:04d}" for seed in seeds]


def test_latents_are_given_as_tensors_and_arrays(model: sgkit.Model) -> None:
    z = model.sample_z([4, 5])
    expected = model.generate([4, 5], psi=0.7).numpy()
    for given in (z, z.numpy(), z.numpy().astype(np.float64), model.map(z, psi=0.7), [z[:1], z[1:]]):
        assert np.array_equal(model.generate(given, psi=0.7).numpy(), expected)


WRONG: list[tuple[Callable[[sgkit.Model], Any], str]] = [
    (lambda m: m.generate(None), "None is not a source of images; give seeds"),
    (lambda m: m.generate(1.5), "1.5 is not a source of images"),
    (lambda m: m.generate(True), "True is not a source of images"),
    (lambda m: m.generate(-1), "Seed -1 is out of range"),
    (lambda m: m.generate(2**32), "Seed 4294967296 is out of range"),
    (lambda m: m.generate("3-1"), "'3-1' is reversed"),
    (lambda m: m.generate("face"), "There is no latent file face"),
    (lambda m: m.generate(torch.zeros(2, 5)), r"A Tensor of torch.float32 \[2, 5\] is not .* z \[N, 8\] or w\+"),
    (lambda m: m.generate(np.array(["a"])), "An array of <U1 is not a source"),
    (lambda m: m.generate(0, psi=None), "Truncation psi is None; give a finite number"),
    (lambda m: m.generate(0, label=1), "unconditional: remove --class"),
    (lambda m: m.generate(0, label=np.eye(3)), r"A label of shape \[3, 3\]"),
    (lambda m: m.generate(0, noise="loud"), "noise is 'loud'"),
    (lambda m: m.generate([]).save("a.png"), "There are no images"),
    (lambda m: m.generate(0).save("a.gif"), "Unsupported extension .gif"),
    (lambda m: m.panorama([0, 1], widht=3), "Did you mean 'width'"),
    (lambda m: m.map(5), "z is one number"),
    (lambda m: m.sample_z("5"), "seeds is '5'; give a whole number"),
    (lambda m: m.project("none.png"), "There is no file or folder none.png"),
    (lambda m: m.project("m.safetensors", steps=1), "m.safetensors"),
    (lambda m: m.project(np.zeros((4, 4))), "Not an image: ndarray float64"),
    (lambda m: m.project("photo.png", num_steps=1), "Did you mean 'steps'"),
    (lambda m: m.to(torch.int8), "torch.int8 is not a floating-point type"),
    (lambda m: m.to("gpu"), "Unknown device 'gpu'. Allowed: auto, cpu"),
    (lambda m: sgkit.load(3), "A model is loaded by name or path; 3 is of type int"),
    (lambda m: sgkit.load("landscape"), "Did you mean 'landscapes'"),
    (lambda m: sgkit.save_image("a", "a.png"), "Not an image: str"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_what_does_not_fit_is_explained(model: sgkit.Model, call: Callable[[sgkit.Model], Any], message: str) -> None:
    with pytest.raises(sgkit.SgkitError, match=message):
        call(model)


@pytest.mark.parametrize(
    "label", ["1", 1, np.int64(1), torch.tensor(1), (0.0, 1.0, 0.0), np.eye(3)[1], torch.eye(3)[1], [1]], ids=str
)
def test_labels_are_given_as_one_likes(conditional: sgkit.Model, label: Any) -> None:
    assert np.array_equal(conditional.generate(3, label=label).numpy(), conditional.generate(3, label=1).numpy())


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
    assert repr(images) == "<sgkit.Images: 3 of 16x16: seed0000, seed0001, seed0002>"
    assert repr(images[0]) == "<image 16x16, 3 channels, of seed0000>"
    assert isinstance(images[1:], sgkit.Images)
    assert isinstance(images[:1] + images[2:], sgkit.Images)
    assert np.array_equal(np.asarray(images), images.numpy())
    assert np.array_equal(np.asarray(images[1]), images.numpy()[1])
    assert [np.asarray(one).tolist() for one in images.pil()] == images.numpy().tolist()
    assert images.grid(columns=3).size == (48, 16)
    images.save("folder")
    assert {path.name for path in Path("folder").iterdir()} == {f"seed000{seed}.png" for seed in range(3)}
    for given in (images, [images[0]], images[0], images.tensor(), images.numpy(), images[0].pil()):
        assert sgkit.save_image(given, "saved.png") == Path("saved.png")
    sgkit.save_image(images, "scenes.webp")
    assert len(read_sheet("scenes.webp").filled) == 3


def test_everyday_calls(model: sgkit.Model) -> None:
    scene = sgkit.Scene(subjects={"a": Subject(source=Seed(seed=1))}, arrangement=Alone(of="a"))
    assert np.array_equal(model.render(scene).numpy(), model.generate([1]).numpy())
    assert len(model.mix([0, 1], [2], layers=(0, 1))) == 2
    film = model.interpolate("0-1", frames=3, loop=True)
    assert len(film) == len(list(film)) == 3
    assert film.save("film.gif", fps=10) == Path("film.gif")
    assert film._repr_html_().startswith(
        '<img alt="sgkit.Film: 3 frames through seed0000, seed0001" src="data:image/webp'
    )
    assert main(["replay", "film.gif", "--out", "again.gif"]) == 0
    assert Path("again.gif").read_bytes() == Path("film.gif").read_bytes()
    assert model.panorama([0, 1, 2], width=40).pixels.shape == (16, 40, 3)
    assert model.expand([0, 1], factor=(1, 2)).numpy().shape == (2, 32, 16, 3)
    assert model.blend([0, 1], shapes=["all:1"]).pixels.shape == (16, 16, 3)
    shifted = model.shift(0, at="8px", copies=["box:0,0,0.5,1 by 0.5,0"], variants=2, parts_of=3)
    shifted.save("shifted.png")
    assert [one.scene for one in shifted] == list(read_sheet("shifted.png").filled)
    model.generate([4])[0].save("photo.png")
    found = []
    for photo in ("photo.png", Image.open("photo.png"), np.asarray(Image.open("photo.png"))):
        latents = model.project(photo, steps=2, w_samples=10, loss="pixels")
        assert latents.space == "w"
        found.append(latents.only)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert model.generate(latents).numpy().shape == (1, 16, 16, 3)
    assert repr(model) == "<sgkit.Model modulated 16x16, 0 kimg, cpu>"


def test_a_model_answers_like_a_module(model: sgkit.Model) -> None:
    assert (model.z_dim, model.w_dim, model.label_dim, model.dtype) == (8, 8, 0, torch.float32)
    names = set(model.state_dict())
    assert {"generator.mapping.fc0.weight", "raw_generator.mapping.fc0.weight"} <= names
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert counted == sum(parameter.numel() for parameter in model.generator.parameters())
    z = model.sample_z([1, 2])
    assert torch.equal(model(z, psi=0.7), model.synthesize(model.map(z, psi=0.7)))
    before = model.generate(range(2)).numpy()
    assert model.half().dtype == model.to("cpu", torch.float16).dtype == torch.float16
    assert np.abs(model.generate(range(2)).numpy().astype(int) - before).max() <= 8
    assert model.float() is model.cpu() is model.eval() is model
    assert model.dtype == torch.float32
    model.save("again.safetensors")
    assert sgkit.load("again.safetensors", device="auto").z_dim == 8


def test_what_there_is_can_be_listed() -> None:
    assert "stylegan2-64" in {row.name for row in sgkit.list_presets()}
    assert "fid" in {row.name for row in sgkit.list_metrics()}
    assert "landscapes" in {row.name for row in sgkit.list_models()}


def test_the_package_lists_its_names() -> None:
    assert {"load", "save", "Model", "Scene", "save_image"} <= set(dir(sgkit))
    for name in dir(sgkit):
        assert getattr(sgkit, name) is not None
    with pytest.raises(AttributeError, match=r"it is a method: sgkit\.load\(path\)\.generate"):
        _ = sgkit.generate  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="module 'sgkit' has no attribute 'lod'"):
        _ = sgkit.lod  # type: ignore[attr-defined]
