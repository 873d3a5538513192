from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sgkit.edits import parse_layers
from sgkit.errors import EditError, SceneError, UsageError
from sgkit.latents.spaces import Latents
from sgkit.model import Branch, LayerSpec, Model, State, walk
from sgkit.render.blend import BlendSettings, blend, blend_scene
from sgkit.render.drawing import drawing
from sgkit.render.scene import Masks


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model("stylegan2-f")


def over(model: Model, count: int = 2, **blending: Any) -> list[tuple[str, object, str | None]]:
    arrangement = blend_scene(drawing(model, None), range(count), BlendSettings(**blending)).arrangement
    assert isinstance(arrangement, Masks)
    return [(one.subject, one.shape, one.layers) for one in arrangement.over]


@pytest.mark.parametrize(
    ("count", "blending", "expected"),
    [
        (2, {}, ["ramp:x,0.25,0.75"]),
        (2, {"direction": "vertical", "overlap": 0.5}, ["ramp:y,0.375,0.625"]),
        (2, {"direction": "vertical", "blend": "soat"}, ["soat:y"]),
        (3, {"overlap": 0}, [f"ramp:x,{1 / 3},{1 / 3}", f"ramp:x,{2 / 3},{2 / 3}"]),
        (
            3,
            {"direction": "radial"},
            [f"not:radial:0.5,0.5,{0.7 * (i - 0.5) / 3},{0.7 * (i + 0.5) / 3}" for i in (1, 2)],
        ),
    ],
)
def test_directions_are_shapes(model: Model, count: int, blending: dict[str, Any], expected: list[str]) -> None:
    assert over(model, count, **blending) == [(f"seed{i:04d}", s, None) for i, s in enumerate(expected, start=1)]


def test_shapes_belong_to_images(model: Model) -> None:
    two = over(model, shapes=("box:0,0,0.5,1", "all:0.5@coarse"))
    assert two == [("seed0001", "box:0,0,0.5,1", None), ("seed0001", "all:0.5", "coarse")]
    three = over(model, 3, shapes=("ramp:x", "ramp:y", "2=all:0.5", "3=all:0.1"))
    assert [name for name, _, _ in three] == ["seed0001", "seed0002", "seed0001", "seed0002"]


def test_a_mask_file_is_recorded_by_content(model: Model, tmp_path: Path) -> None:
    Image.new("L", (16, 16), 255).save(tmp_path / "m.png")
    ((_, shape, layers),) = over(model, shapes=(f"not:{tmp_path}/m.png,0.1@fine",))
    values = shape.to_dict()  # type: ignore[attr-defined]
    assert (len(values.pop("hash")), layers) == (64, "fine")
    assert values == {"picture": str(tmp_path / "m.png"), "inverse": True, "softness": 0.1}


def test_the_whole_of_the_second_image_is_the_second_image(each_model: Model) -> None:
    settings = BlendSettings(shapes=("all:1",))
    blended = blend(each_model, [1, 2], None, settings).image
    alone = walk([Branch(each_model.generator.synthesis, each_model.styles(each_model.map(each_model.sample_z([2]))))])
    torch.testing.assert_close(blended, alone[0].image[0], rtol=0, atol=2e-5)


def test_each_image_may_have_its_own_class(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("stylegan2-f", label_dim=2)
    both = blend(model, [1, 1], None, BlendSettings(labels=(0, 1), shapes=("all:1",))).image
    second = blend(model, [1, 1], None, BlendSettings(labels=(1, 1), shapes=("all:1",))).image
    assert torch.equal(both, second)
    assert not torch.equal(blend(model, [1, 1], None, BlendSettings(labels=(0, 0), shapes=("all:1",))).image, second)


@pytest.mark.parametrize(
    ("sources", "blending", "message"),
    [
        ([1], {}, r"needs two images or more; 1 was given"),
        ([1, 2], {"overlap": 2}, r"--overlap is 2; it must be between 0"),
        ([1, 2], {"labels": (0,)}, "1 classes were given for 2 images"),
        ([1, 2], {"shapes": ("3=all:0.5",)}, "is for image 3, and there are 2"),
        ([1, 2, 3], {"shapes": ("all:0.5",)}, r"Image 3 \(seed0003\) has no shape"),
        ([1, 2, 3], {"blend": "soat"}, "--blend soat is for two images"),
        ([1, 2], {"blend": "soat", "direction": "radial"}, "--blend soat is for two images"),
        ([1, 2], {"shapes": ("box:2,2,3,3",)}, "is outside the picture"),
        ([1, 2], {"layers": "b8_conv9"}, "The model has no layer 'b8_conv9'"),
        ([1, 2], {"layers": "from 64px"}, "The model has no layers from 64 pixels on"),
        ([1, 2], {"shapes": ("nowhere.png",)}, r"The image file nowhere\.png is not there"),
    ],
)
def test_what_cannot_be_blended_is_refused(
    model: Model, sources: list[int], blending: dict[str, Any], message: str
) -> None:
    with pytest.raises((UsageError, EditError, SceneError), match=message):
        blend(model, sources, None, BlendSettings(**blending))


# --------------------------------------------------------------- Suzuki et al. 2018, transcribed as loops


def suzuki(
    model: Model, styles: Sequence[dict[str, Tensor]], box: tuple[int, int, int, int], layers: set[str]
) -> Tensor:
    """Feature blending (Suzuki et al. 2018, section 3.2) pixel by pixel.

    At each chosen layer: F = M * F_reference + (1 - M) * F_base, with M of the layer's size; the reference's own pass
    is that of its plain image. ``box``: pixels of the largest layer, which divide evenly.
    """
    network = model.generator.synthesis
    largest = network.plan[-1].size[0]

    def collaged(spec: LayerSpec, states: list[State]) -> list[State]:
        if spec.name not in layers:
            return states
        base, reference = states
        tensors = {}
        for name in ("x", "rgb"):
            below, above = getattr(base, name), getattr(reference, name)
            if below is None:
                continue
            found = below.clone()
            scale = largest // below.shape[2]
            for row in range(below.shape[2]):
                for column in range(below.shape[3]):
                    y, x = row * scale, column * scale
                    if box[0] <= x < box[2] and box[1] <= y < box[3]:
                        found[:, :, row, column] = above[:, :, row, column]
            tensors[name] = found
        return [State(**tensors, shortcut=base.shortcut, canvas=base.canvas), reference]

    return walk([Branch(network, one) for one in styles], edit=collaged)[0].image[0]


@pytest.mark.parametrize("layers", ["all", "to 8px", "at 8px", "1-3"])
@pytest.mark.parametrize("family", ["stylegan2-f", "stylegan1-f", "progan"])
def test_suzuki_is_its_formula(tiny_model: Callable[..., Model], family: str, layers: str) -> None:
    model = tiny_model(family)
    if family == "progan" and layers == "1-3":
        pytest.skip("one w drives all layers of ProGAN")
    plan = model.generator.synthesis.plan
    chosen = {plan[index].name for index in parse_layers(layers, plan).layers(plan)}
    ws = [model.map(model.sample_z([seed])) for seed in (1, 2)]
    expected = suzuki(model, [model.styles(w) for w in ws], (4, 0, 12, 8), chosen)
    settings = BlendSettings(mode="suzuki", layers=layers, shapes=("box:0.25,0,0.75,0.5",))
    sources = [Latents(space="w+", values={"w": w}, names=(f"w{i}",)) for i, w in enumerate(ws)]
    assert np.abs((blend(model, sources, None, settings).image - expected).numpy()).max() < 1e-5
