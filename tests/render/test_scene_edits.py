from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sgkit.edits import blend, box, closing, pad, ramp
from sgkit.errors import EditError, UsageError
from sgkit.model import Branch, Model, walk
from sgkit.render.edits import shape_of
from sgkit.render.parsing import parse_sheet
from sgkit.render.render import render
from sgkit.render.scene import Scene

Tiny = Callable[..., Model]
FAMILIES = ("progan", "stylegan1-f", "stylegan2-f", "self-modulated", "stylegan3-t")


def scene_of(**parts: object) -> Scene:
    subjects = {name: {"from": {"seed": seed}} for seed, name in enumerate("abc")}
    (scene,) = parse_sheet({"scene": 1, "subjects": subjects, **parts}, name="test").filled
    return scene


def drawn(model: Model, scene: Scene, **options: int) -> np.ndarray:
    (one,) = render(scene, model, **options)
    return one.image.numpy()


@pytest.fixture
def model(tiny_model: Tiny) -> Model:
    return tiny_model("stylegan2-f")


def branches(model: Model, *seeds: int) -> list[Branch]:
    return [Branch(model.generator.synthesis, model.styles(model.map(model.sample_z([seed])))) for seed in seeds]


@pytest.mark.parametrize(
    ("shape", "mask"),
    [
        ("box:0.25,0.25,0.75,0.75,0.2", box(0.25, 0.25, 0.75, 0.75, softness=0.2)),
        ("ramp:x,0.2,0.8", ramp(0.2, 0.8, smooth=True)),
        ("ramp:y", ramp(axis="y", smooth=True)),
    ],
)
def test_masks_are_blends(model: Model, shape: str, mask: Callable) -> None:
    scene = scene_of(arrangement={"kind": "masks", "of": "a", "over": [{"subject": "b", "shape": shape}]})
    expected = walk(branches(model, 0, 1), edit=blend(mask))[0].image[0]
    assert np.allclose(drawn(model, scene), expected, atol=1e-5)


def test_the_last_shape_is_on_top(model: Model) -> None:
    over = [{"subject": "b", "shape": "ramp:x"}, {"subject": "c", "shape": "all:1"}]
    scene = scene_of(arrangement={"kind": "masks", "of": "a", "over": over})
    alone = scene_of(arrangement={"of": "c"})
    assert np.allclose(drawn(model, scene), drawn(model, alone), atol=1e-5)


def test_edits_are_geometry(model: Model) -> None:
    scene = scene_of(arrangement={"of": "a"}, edits=[{"kind": "pad", "at": "8px", "left": 4, "right": 4}])
    expected = walk(branches(model, 0), edit=pad(4, 4, where=closing(8)))[0].image[0]
    assert expected.shape == (3, 16, 32)
    assert np.array_equal(drawn(model, scene), expected)


@pytest.mark.parametrize("edit", ["pad", "crop", "shift", "tile", "resize"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_edit_works_in_every_family(tiny_model: Tiny, family: str, edit: str) -> None:
    options: dict[str, dict[str, object]] = {"tile": {"length": 12}, "resize": {"width_factor": 2}, "shift": {"x": 2}}
    record = {"kind": edit, "at": "8px", **options.get(edit, {"left": 2})}
    image = drawn(tiny_model(family), scene_of(arrangement={"of": "a"}, edits=[record]))
    assert np.isfinite(image).all()
    assert (image.shape != (3, 16, 16)) == (edit != "shift")


@pytest.mark.parametrize("is_ring", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_tiles_are_the_whole_picture(tiny_model: Tiny, family: str, is_ring: bool) -> None:
    scene = scene_of(
        arrangement={"kind": "line", "of": ["a", "b", "c"]},
        size=[16, 80],
        periodic=["x"] if is_ring else [],
        noise={"kind": "random", "seed": 5},
    )
    model = tiny_model(family)
    whole, tiled = drawn(model, scene), drawn(model, scene, tiles=24)
    assert whole.shape == tiled.shape == (3, 16, 80)
    assert np.abs(whole - tiled).max() < 2e-5


def test_pictures_with_edits_do_not_depend_on_their_batch(model: Model) -> None:
    arrangement = {"kind": "masks", "of": "a", "over": [{"subject": "b", "shape": "ramp:x"}], "layers": "coarse"}
    scenes = [scene_of(arrangement=arrangement, noise={"kind": "random", "seed": seed}) for seed in range(3)]
    together = [one.image for one in render(scenes, model)]
    alone = [one.image for scene in scenes for one in render(scene, model)]
    assert torch.allclose(torch.stack(together), torch.stack(alone), atol=1e-5)
    again = list(render([one.scene for one in render(scenes, model)], model))
    assert all(torch.equal(one.image, other) for one, other in zip(again, together, strict=True))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("circle:1", r"Unknown shape 'circle:1'\..*Allowed: box, ramp, all"),
        ("box:0.1,0.2", r"Not a shape: 'box:0\.1,0\.2'\. Write it like box:0\.2,0\.3,0\.8,0\.6"),
        ("ramp:z", r"Not a shape: 'ramp:z'\. Write it like ramp:x,0\.2,0\.8"),
        ("box:a,b,c,d", "Not a shape"),
    ],
)
def test_what_is_no_shape_is_refused(shape: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        shape_of(shape)


def test_places_that_no_layer_has_are_refused(model: Model) -> None:
    with pytest.raises(EditError, match="would act at no layer"):
        drawn(model, scene_of(arrangement={"of": "a"}, edits=[{"kind": "pad", "at": "512px", "left": 1}]))
    with pytest.raises(UsageError, match="Not a place for an edit: 'middle'"):
        drawn(model, scene_of(arrangement={"of": "a"}, edits=[{"kind": "pad", "at": "middle", "left": 1}]))
