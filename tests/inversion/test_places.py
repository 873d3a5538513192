"""StyleGAN3's translation and rotation: searched, recorded in latent files, and drawn by every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.checkpoint import save
from sgkit.cli.app import main
from sgkit.errors import InputError, UsageError
from sgkit.inversion import ProjectSettings, drag_latents, search
from sgkit.latents.files import load_latents
from sgkit.latents.places import fourier_input, placed_styles
from sgkit.latents.spaces import Latents, convert, join, save_latents, to_styles
from sgkit.model import Branch, Model, noise_source, walk
from sgkit.render.generate import generate
from sgkit.render.pictures import to_pixels, write_png
from sgkit.render.placement import Placement, placed

PLACE = torch.tensor([[0.12, -0.08, 10.0]])
SETTINGS = ProjectSettings(loss="pixels", steps=60, w_samples=50, initial_noise=0.0)


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    found = tiny_model("stylegan3-r")
    layer = fourier_input(found)
    assert layer is not None
    layer[1].transform.copy_(torch.tensor([[0.8, -0.6, 0.1], [0.6, 0.8, -0.2], [0, 0, 1]]))
    return found


@pytest.fixture
def latents(model: Model) -> Latents:
    return Latents(space="w", values={"w": model.map(model.sample_z([3]))[:, 0]}, place=PLACE, names=("moved",))


def drawn(latents: Latents, model: Model) -> torch.Tensor:
    styles = to_styles(latents, model)
    return walk([Branch(model.generator.synthesis, styles, noise_source("const"))])[0].image.detach()


def shown(source: Any, model: Model) -> np.ndarray[Any, Any]:
    [sample] = generate(model, source)
    return np.asarray(sample.pixels)


def test_gradients_of_places_are_those_of_finite_differences(model: Model) -> None:
    styles = {name: one.double() for name, one in model.styles(model.map(model.sample_z([1, 2]))).items()}
    found = fourier_input(model)
    assert found is not None
    weights = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[0.1, 0.2, 20.0], [-0.3, 0.0, -5.0]], dtype=torch.float64, requires_grad=True)

    def value(places: torch.Tensor) -> torch.Tensor:
        return (placed_styles(styles, places, model)[found[0]] * weights).sum()

    assert torch.autograd.gradcheck(value, (places,))


def test_a_place_is_that_of_scenes_and_each_row_has_its_own(model: Model) -> None:
    styles = model.styles(model.map(model.sample_z([1, 2])))
    one = placed(styles, Placement(translate=(0.12, -0.08), rotate=10.0), model)
    both = placed_styles(styles, torch.cat([PLACE, torch.zeros(1, 3)]), model)
    name = fourier_input(model)[0]  # type: ignore[index]
    torch.testing.assert_close(both[name][0], one[name][0])
    norm = styles[name][1:] / styles[name][1:, :2].norm()
    torch.testing.assert_close(both[name][1:], norm)


@pytest.mark.parametrize("space", ["z", "w", "w+", "p"])
def test_a_moved_and_turned_image_is_found(model: Model, latents: Latents, space: Any) -> None:
    target = drawn(latents, model).clamp(-1, 1)
    settings = replace(SETTINGS, space=space)
    found, still = (search(model, target, replace(settings, optimize_place=one)) for one in (True, False))
    assert found.distances < found.start_distances / 3
    assert (still.place, still.latents().place) == (None, None)
    assert found.place is not None
    assert found.place.abs().max() > 0.01
    torch.testing.assert_close(drawn(found.latents(), model), found.images, rtol=1e-4, atol=1e-5)


def test_the_place_alone_is_found_exactly(model: Model, latents: Latents) -> None:
    target = drawn(latents, model).clamp(-1, 1)
    start = latents.only[:, None].expand(-1, model.num_ws, -1)
    settings = replace(SETTINGS, steps=150, lr=0.05, prior="mean", prior_weight=0.0)
    found = search(model, target, settings, start=start)
    assert found.distances < found.start_distances / 100


def test_other_models_and_s_have_no_place(model: Model, tiny_model: Callable[..., Model]) -> None:
    quick = replace(SETTINGS, steps=2)
    for one, space in ((tiny_model("stylegan2-f"), "w"), (model, "s")):
        target = one.synthesize(one.map(one.sample_z([1]))).clamp(-1, 1)
        assert search(one, target, replace(quick, space=space)).place is None  # type: ignore[arg-type]


def test_a_stretched_input_is_not_searched(model: Model) -> None:
    fourier_input(model)[1].transform[0, 0] = 3.0  # type: ignore[index]
    target = model.synthesize(model.map(model.sample_z([1]))).clamp(-1, 1)
    assert search(model, target, replace(SETTINGS, steps=2)).place is None


def test_latent_files_hold_the_place_and_images_have_it(model: Model, latents: Latents, tmp_path: Path) -> None:
    save_latents(latents, tmp_path / "moved.npz")
    read = load_latents(tmp_path / "moved.npz")
    assert read.place is not None
    torch.testing.assert_close(read.place, PLACE)
    expected = to_pixels(drawn(latents, model))[0]
    plain = replace(latents, place=None)
    still = shown(plain, model)
    for moved in (read, tmp_path / "moved.npz", convert(read, model, "w+"), convert(read, model, "s")):
        np.testing.assert_allclose(shown(moved, model).astype(int), expected, atol=1)
    assert np.abs(still.astype(int) - expected).max() > 5
    both = [np.asarray(one.pixels) for one in generate(model, join([plain, latents]))]
    assert np.array_equal(both[0], still)
    assert np.abs(both[1].astype(int) - expected).max() <= 1


def test_every_command_draws_the_place(
    model: Model, latents: Latents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(model, "model.safetensors")
    write_png(to_pixels(drawn(latents, model))[0], tmp_path / "photo.png")
    assert main(["project", "model.safetensors", "photo.png", "--out", "out", "--steps", "10", "--loss", "pixels"]) == 0
    with Image.open("out/photo/projection.png") as picture:
        expected = np.asarray(picture).astype(int)
    for command in (
        "generate model.safetensors --latent out/photo --out a.png",
        "replay out/photo/projection.png --out b.png",
        "interpolate model.safetensors --seeds out/photo,1 --frames 3 --out c",
        "mix model.safetensors --rows out/photo --cols 1 --out d.png",
        "generate model.safetensors --latent out/photo --latents --space w+ --out e",
        "generate model.safetensors --latent e/photo.npz --out f.png",
    ):
        assert main(command.split()) == 0, command
    for name in ("a.png", "b.png", "c/frame00000.png", "f.png"):
        with Image.open(name) as picture:
            assert np.abs(np.asarray(picture).astype(int) - expected).max() <= 1, name


def test_what_has_no_place_says_so(
    model: Model, latents: Latents, tiny_model: Callable[..., Model], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="only a StyleGAN3 does that"):
        to_styles(latents, tiny_model("stylegan2-f"))
    with pytest.raises(UsageError, match="which a drag does not keep"):
        drag_latents(model, latents, [((4, 4), (6, 6))])
    save_latents(replace(latents, place=torch.zeros(1, 2)), tmp_path / "wrong.npz")
    with pytest.raises(InputError, match=r"holds 1 latents, but places of shape \[1, 2\]"):
        load_latents(tmp_path / "wrong.npz")
