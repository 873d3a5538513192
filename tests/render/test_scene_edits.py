from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.config.shapes import SHAPES, parse_shape
from sgkit.edits import (
    blend,
    box,
    closing,
    ellipse,
    inverse,
    pad,
    parse_layers,
    picture,
    polygon,
    quarters,
    radial,
    ramp,
    transfer,
)
from sgkit.errors import EditError, SceneError, UsageError
from sgkit.model import Branch, Model, walk
from sgkit.render.inputs import Inputs, mask_weights
from sgkit.render.parsing import parse_sheet
from sgkit.render.render import render
from sgkit.render.scene import Scene
from sgkit.render.shapes import _MASKS

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
        ("not:ramp:y", inverse(ramp(axis="y", smooth=True))),
        ("ellipse:0.25,0.25,0.75,0.75,0.2", ellipse(0.25, 0.25, 0.75, 0.75, softness=0.2)),
        ("radial:0.5,0.4,0.1,0.5", radial(0.5, 0.4, 0.1, 0.5)),
        ("polygon:0.1,0.1,0.9,0.2,0.5,0.9,0.1", polygon([(0.1, 0.1), (0.9, 0.2), (0.5, 0.9)], softness=0.1)),
        ("soat:y", quarters("y")),
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
    assert np.abs(whole - tiled).max() < 2e-5 * max(np.abs(whole).max(), 1)


def test_pictures_with_edits_do_not_depend_on_their_batch(model: Model) -> None:
    arrangement = {"kind": "masks", "of": "a", "over": [{"subject": "b", "shape": "ramp:x"}], "layers": "coarse"}
    scenes = [scene_of(arrangement=arrangement, noise={"kind": "random", "seed": seed}) for seed in range(3)]
    together = [one.image for one in render(scenes, model)]
    alone = [one.image for scene in scenes for one in render(scene, model)]
    assert torch.allclose(torch.stack(together), torch.stack(alone), atol=1e-5)
    again = list(render([one.scene for one in render(scenes, model)], model))
    assert all(torch.equal(one.image, other) for one, other in zip(again, together, strict=True))


def test_every_shape_of_the_grammar_has_a_mask() -> None:
    assert _MASKS.keys() == SHAPES.keys()


def masks_of(*over: dict[str, object], **options: object) -> Scene:
    return scene_of(arrangement={"kind": "masks", "of": "a", "over": list(over), **options})


def test_a_mask_picture_is_named_by_content(model: Model, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    path = tmp_path / "mask.png"
    Image.fromarray(pixels).save(path)
    inputs = Inputs(model)
    record = inputs.mask_picture(parse_shape(str(path)))
    assert record.hash == hashlib.sha256(path.read_bytes()).hexdigest()
    over = {"subject": "b", "shape": record.to_dict()}
    expected = walk(branches(model, 0, 1), edit=blend(picture(torch.from_numpy(pixels / 255).float())))[0].image[0]
    assert np.allclose(drawn(model, masks_of(over)), expected, atol=1e-5)
    inverted = masks_of({"subject": "b", "shape": f"not:{path}"})
    assert np.allclose(
        drawn(model, masks_of({"subject": "a", "shape": record.to_dict()}, of="b")), drawn(model, inverted), atol=1e-5
    )
    Image.fromarray(255 - pixels).save(path)
    with pytest.raises(SceneError, match=r"mask\.png has changed since the scene was made"):
        drawn(model, masks_of(over))
    path.unlink()
    with pytest.raises(SceneError, match=r"The image file .*mask\.png is not there"):
        drawn(model, masks_of(over))


def test_alpha_is_the_mask_of_transparent_pictures(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 4))
    image.save(tmp_path / "alpha.png")
    weights = mask_weights((tmp_path / "alpha.png").read_bytes(), tmp_path)
    assert weights.tolist() == [[1, 1, 0, 0]] * 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: Image.new("L", (40, 16), 255).save(path),
            "is 40x16, and the picture's proportions are 1:1",
        ),
        (lambda path: Image.new("L", (16, 16)).save(path), "is black all over, so it covers nothing"),
        (lambda path: path.write_bytes(b"no picture"), r"cannot be read as an image \(not an image\)"),
    ],
)
def test_masks_of_the_wrong_kind_are_refused(model: Model, tmp_path: Path, make: Callable, message: str) -> None:
    path = tmp_path / "mask.png"
    make(path)
    with pytest.raises((SceneError, EditError), match=message):
        drawn(model, masks_of({"subject": "b", "shape": str(path)}))


def test_a_subject_may_have_several_shapes(model: Model) -> None:
    halves = [{"subject": "b", "shape": f"box:{left},0,{left + 0.5},1"} for left in (0, 0.5)]
    scene = masks_of(*halves)
    assert scene.main() == ("a", "b")
    assert np.allclose(drawn(model, scene), drawn(model, scene_of(arrangement={"of": "b"})), atol=1e-5)


def test_each_shape_may_have_its_own_layers(model: Model) -> None:
    """What no layer takes over has no effect, and all layers in two parts are all layers."""
    parts = [{"subject": "b", "shape": "ramp:x", "layers": layers} for layers in ("to 8px", "from 16px")]
    whole = drawn(model, masks_of({"subject": "b", "shape": "ramp:x"}))
    assert np.allclose(drawn(model, masks_of(*parts)), whole, atol=1e-5)
    assert not np.allclose(drawn(model, masks_of(parts[0])), whole, atol=1e-2)


def test_a_collage_leaves_the_others_as_they_are(model: Model) -> None:
    scene = masks_of({"subject": "b", "shape": "box:0,0,0.5,1"}, mode="collage", layers="to 8px")
    where = parse_layers("to 8px", model.generator.synthesis.plan)
    expected = walk(branches(model, 0, 1), edit=transfer(box(0, 0, 0.5, 1), where=where))[0].image[0]
    assert np.allclose(drawn(model, scene), expected, atol=1e-5)
    assert not np.allclose(
        drawn(model, scene.changed(arrangement=scene.arrangement.changed(mode="blend"))), expected, atol=1e-2
    )


def test_layers_by_name(model: Model) -> None:
    plan = model.generator.synthesis.plan
    assert [plan[i].name for i in sorted(parse_layers("b8_conv1, b16_rgb", plan).layers(plan))] == [
        "b8_conv1",
        "b16_rgb",
    ]
    with pytest.raises(UsageError, match=r"no layer 'b8_conv7'\. Did you mean 'b8_conv0' or 'b8_conv1'"):
        parse_layers("b8_conv7", plan)


def test_places_that_no_layer_has_are_refused(model: Model) -> None:
    with pytest.raises(EditError, match="would act at no layer"):
        drawn(model, scene_of(arrangement={"of": "a"}, edits=[{"kind": "pad", "at": "512px", "left": 1}]))
    with pytest.raises(UsageError, match="Not a place for an edit: 'middle'"):
        drawn(model, scene_of(arrangement={"of": "a"}, edits=[{"kind": "pad", "at": "middle", "left": 1}]))
