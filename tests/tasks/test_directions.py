from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.errors import InputError, UsageError
from sgkit.latents.directions import Directions, load_directions
from sgkit.latents.spaces import Latents, save_latents
from sgkit.model import Model
from sgkit.render.edit import EditSettings, edit
from sgkit.tasks.directions import FindSettings, find_directions, find_file
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.builders import drawn_model


@pytest.fixture(scope="module")
def model() -> Model:
    return drawn_model(seed=1)


def find(
    model: Model, method: Any, *, labels: Any = None, latents: Any = (), plus: Any = (), minus: Any = (), **s: Any
) -> Directions:
    settings = FindSettings(method=method, **{"samples": 60, **s})
    return find_directions(model, settings, labels=labels, latents=latents, plus=plus, minus=minus)


@pytest.mark.parametrize("method", ["sefa", "pca", "difference", "channels"])
def test_every_architecture_is_searched_or_says_why_not(each_model: Model, method: str) -> None:
    plain = each_model.config.mapping.num_layers == 0
    options: dict[str, Any] = {"plus": [0, 1], "minus": [2, 3]} if method == "difference" else {}
    options |= {"mask": "box:0,0,0.5,0.5", "images": 1, "count": 2} if method == "channels" else {}
    if plain and method == "pca":
        with pytest.raises(UsageError, match=r"no mapping network.*--features 8px"):
            find(each_model, method)
        options = {"features": "4px", "count": 2}
    found = find(each_model, method, **options)
    assert found.space == ("s" if method == "channels" else "z" if plain else "w")
    before, after = edit(each_model, [5], [(found, 0, 2.0)], by=EditSettings(steps=1)).rows[0]
    assert not torch.equal(before.image, after.image)
    assert bool(torch.isfinite(after.image).all())


def test_a_strength_of_1_is_a_deviation_of_the_latents(model: Model) -> None:
    found = find(model, "sefa", samples=200)
    ws = model.map(model.sample_z(range(200)))[:, 0]
    assert torch.allclose((ws @ found.values["w"].t()).std(dim=0), found.steps, rtol=1e-4)
    assert all(value[value.abs().argmax()] > 0 for value in found.values["w"])


def test_sefa_of_some_layers_moves_those(model: Model) -> None:
    found = find(model, "sefa", layers="0-1", count=2)
    assert found.layers == (0, 1)
    assert not torch.allclose(found.values["w"], find(model, "sefa", count=2).values["w"], atol=1e-3)


def test_a_planted_direction_is_the_first_of_sefa(model: Model) -> None:
    """Weights that read one direction of w much more than any other."""
    planted = drawn_model(seed=4)
    axis = torch.nn.functional.normalize(torch.linspace(-1, 1, 8), dim=0)
    for spec in planted.generator.synthesis.plan:
        if spec.style_index is not None:
            layer = planted.generator.synthesis.layer(spec.name)
            layer.affine.weight.add_(20 * torch.ones(len(layer.affine.weight), 1) * axis)  # type: ignore[union-attr, operator]
    found = find(planted, "sefa", count=2)
    assert abs(float(found.values["w"][0] @ axis)) > 0.99
    assert found.explained is not None
    assert float(found.explained[0]) > 0.9


def test_a_difference_of_classes_is_the_whole_way() -> None:
    model = drawn_model(seed=2, label_dim=3)
    found = find(model, "difference", plus="2", minus="0")
    z = model.sample_z(range(60))
    expected = (model.map(z, 2) - model.map(z, 0))[:, 0].mean(dim=0)
    assert torch.allclose(found.values["w"][0] * found.steps[0], expected, atol=1e-5)
    assert (found.names, found.signs) == (("2",), ("from 0 to 2",))


def test_a_difference_of_latents_is_mean_minus_mean(model: Model, tmp_path: Path) -> None:
    ws = model.map(model.sample_z([1, 2, 3]))
    save_latents(Latents(space="w", values={"w": ws[:2, 0]}), tmp_path / "a.npz")
    found = find(model, "difference", plus=[tmp_path / "a.npz"], minus=[3], name="way")
    assert torch.allclose(found.values["w"][0] * found.steps[0], ws[:2, 0].mean(dim=0) - ws[2, 0], atol=1e-5)
    free = torch.randn(1, model.num_ws, 8)
    found = find(model, "difference", plus=Latents(space="w+", values={"w": free}), minus=[3])
    assert found.space == "w+"
    assert torch.allclose(found.values["w"][0] * found.steps[0], free[0] - ws[2], atol=1e-5)


def test_channels_of_a_place_are_those_that_move_only_it() -> None:
    """One channel is wired to the left half of the image: it comes first."""
    model = drawn_model(seed=3)
    const: Any = model.generator.synthesis.layer("b4_input")
    const.const[:] = 1
    const.const[5, :, 0], const.const[5, :, 1:] = 20, 0
    found = find(model, "channels", mask="box:0,0,0.5,1", layers="0", count=3)
    assert found.names[0] == "b4_conv1:5"
    assert found.explained is not None
    assert float(found.explained[0]) > 1.2 * float(found.explained[1])


def table(path: Path, model: Model, axis: torch.Tensor) -> tuple[Path, Latents]:
    """Latents of w with names, and a table that says which of them are on one side."""
    ws = model.map(model.sample_z(range(80)))[:, 0]
    middle = (ws @ axis).median()
    names = tuple(f"p{index}" for index in range(80))
    rows = "".join(f"{name}.png,{'yes' if w @ axis > middle else 'no'}\n" for name, w in zip(names, ws, strict=True))
    (path / "labels.csv").write_text("file,smile\n" + rows + "other.png,yes\n")
    return path / "labels.csv", Latents(space="w", values={"w": ws}, names=names)


def test_a_boundary_from_a_table_of_labels(model: Model, tmp_path: Path) -> None:
    axis = torch.nn.functional.normalize(torch.linspace(1, -1, 8), dim=0)
    labels, latents = table(tmp_path, model, axis)
    found = find(model, "boundary", labels=labels, latents=[latents], attribute="yes")
    values = latents.only @ found.values["w"][0]
    side = latents.only @ axis > (latents.only @ axis).median()
    assert float(values[side].mean() - values[~side].mean()) > float(values.std())
    assert (found.names, found.settings["examples"]) == (("yes",), 80)
    assert found.settings["boundary_score"] > 0.8
    opposite = find(model, "boundary", labels=labels, latents=[latents], attribute="no")
    assert torch.allclose(opposite.values["w"], -found.values["w"], atol=1e-4)


@pytest.mark.usefixtures("cheap_features")
def test_a_boundary_from_a_labelled_store(model: Model, tmp_path: Path) -> None:
    """A store teaches brightness; the direction makes images brighter."""
    random = np.random.default_rng(0)
    for index in range(60):
        light = index % 2
        (tmp_path / "photos" / ("light" if light else "dark")).mkdir(parents=True, exist_ok=True)
        pixels = np.clip(random.normal(170 if light else 80, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / ("light" if light else "dark") / f"{index}.png")
    store = tmp_path / "store"
    prepare(tmp_path / "photos", store, options=PrepareOptions(size=(16, 16), labels="folders"), workers=1)
    found = find(model, "boundary", labels=store, attribute="light", samples=200)
    assert found.settings["classifier_score"] > 0.9
    rows = edit(model, range(8), [(found, "light", 2.0)], by=EditSettings(steps=2, both=True)).rows
    brightness = [[float(one.image.mean()) for one in row] for row in rows]
    assert np.mean([row[-1] > row[0] for row in brightness]) > 0.8
    channels = find(model, "channels", labels=store, attribute="light", count=3, samples=200)
    assert channels.space == "s"


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("boundary", {}, "needs labels: give a store with labels (--labels STORE)"),
        ("channels", {}, "give one of the two"),
        ("difference", {"plus": [1]}, "--minus is missing"),
        ("difference", {"plus": "1", "minus": "2"}, "unconditional"),
        ("difference", {"plus": "1"}, "give --plus-class and --minus-class"),
        ("difference", {"plus": [1], "minus": [1]}, "nothing in the data differs"),
        ("pca", {"features": "33px"}, "no layers that close a resolution of 33 pixels"),
        ("pca", {"features": "b9_conv1"}, "Unknown layer 'b9_conv1'. Did you mean"),
        ("pca", {"features": "8px", "count": 60}, "need more than 60 samples"),
        ("sefa", {"samples": 5}, "samples is 5; it must be 10 or more"),
        ("sefa", {"layers": "9"}, "Layer 9 is out of range"),
        ("channels", {"mask": "box:0,0,1,1", "layers": "b16_rgb"}, "No layer with a style"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_said(
    model: Model, method: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        find(model, method, **options)
    assert message in str(error.value)


def test_tables_that_do_not_fit_are_refused(model: Model, tmp_path: Path) -> None:
    labels, latents = table(tmp_path, model, torch.ones(8))
    with pytest.raises(UsageError, match=r"has no attribute 'smirk'\. Allowed: no, yes"):
        find(model, "boundary", labels=labels, latents=[latents], attribute="smirk")
    with pytest.raises(UsageError, match="give the latents that it names with --latent"):
        find(model, "boundary", labels=labels)
    other = Latents(space="w", values=latents.values, names=tuple(f"q{i}" for i in range(80)))
    with pytest.raises(InputError, match="but for none of the latents, which are called q0, q1, q2"):
        find(model, "boundary", labels=labels, latents=[other])


def test_stores_without_labels_are_refused(model: Model, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    prepare(tmp_path / "a.png", tmp_path / "store", options=PrepareOptions(size=(8, 8)), workers=1)
    with pytest.raises(UsageError, match=r"has no labels\. Give a table of labels"):
        find(model, "boundary", labels=tmp_path / "store")


def test_the_file_tells_how_they_were_found(model: Model, tmp_path: Path) -> None:
    told = find_file(model, tmp_path / "a.safetensors", FindSettings(method="pca", samples=60, count=3, seed=7))
    found = load_directions(tmp_path / "a.safetensors")
    assert [row.name for row in told.rows] == ["0", "1", "2"] == list(found.names)
    assert found.settings == {"samples": 60, "seed": 7, "measure": "share of the variance of w"}
    assert (found.method, found.space, told.space) == ("pca", "w", "w")
    with pytest.raises(InputError, match="exists already"):
        find_file(model, tmp_path / "a.safetensors", FindSettings(method="pca", samples=60))


def test_principal_directions_of_features_move_features(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model()
    found = find(model, "pca", features="4px", samples=300, count=2)
    from sgkit.latents.linear import principal
    from sgkit.render.features import feature_layer, features_at

    layer = feature_layer(model, "4px")
    ws = model.map(model.sample_z(range(300)))
    rows = torch.cat([part.flatten(1) for part in features_at(model, ws, layer)])
    axis = principal(rows, 1).vectors[0].float()
    step = found.values["w"][0] * found.steps[0]
    before, after = (
        torch.cat([part.flatten(1) for part in features_at(model, w, layer)]) @ axis for w in (ws, ws + 0.5 * step)
    )
    assert float((after - before).mean()) > 0.2 * float((rows @ axis).std())
