from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sgkit.errors import EditError, SceneError, UsageError
from sgkit.model import Model
from sgkit.render.drawing import drawing
from sgkit.render.geometry import Paste
from sgkit.render.shift import ShiftSettings, random_moves, shift, shift_scenes


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model("stylegan2-f")


def patches(model: Model, **shifting: Any) -> list[dict[str, Any]]:
    (scene,) = shift_scenes(drawing(model, None), 1, ShiftSettings(**{"softness": 0, **shifting})).values()
    (edit,) = scene.edits
    assert isinstance(edit, Paste)
    return [patch.to_dict() for patch in edit.patches]


@pytest.mark.parametrize(
    ("shifting", "expected"),
    [
        (
            {"copies": ("box:0,0,0.5,1 by 0.5,0 mirror x",)},
            [{"shape": "box:0,0,0.5,1", "right": 0.5, "mirror": "x"}],
        ),
        (
            {"moves": ("box:0,0,0.5,1 to 0.25,0",)},
            [{"shape": "box:0,0,0.5,1", "fill": True}, {"shape": "box:0,0,0.5,1", "right": 0.25}],
        ),
        (
            {"swaps": ("all:1 by 0.5,0.25",)},
            [
                {"shape": "all:1", "right": 0.5, "down": 0.25, "back": True},
                {"shape": "all:1", "right": 0.5, "down": 0.25},
            ],
        ),
        ({"mirrors": ("box:0,0,1,1 both",)}, [{"shape": "box:0,0,1,1", "mirror": "both"}]),
        (
            {"copies": ("box:0.2,0,0.5,1 by 0.5,0",), "softness": 0.1},
            [{"shape": "box:0.2,-0.1,0.5,1.1,0.1", "right": 0.5}],
        ),
        (
            {"copies": ("not:ellipse:0,0,1,1 by 0.5,0",), "softness": 0.1},
            [{"shape": "not:ellipse:0,0,1,1,0.1", "right": 0.5}],
        ),
        (
            {"copies": ("box:0,0,1,1,0.3 by 0.5,0.5",), "softness": 0.1},
            [{"shape": "box:0,0,1,1,0.3", "right": 0.5, "down": 0.5}],
        ),
        (
            {"copies": ("box:0,0,1,1 by 0.5,0.5",), "softness": 0.1},
            [{"shape": "box:0,0,1,1,0.1", "right": 0.5, "down": 0.5}],
        ),
    ],
)
def test_moves_are_patches(model: Model, shifting: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    assert patches(model, **shifting) == expected


def test_variants_differ_and_are_made_again_by_their_seed(model: Model) -> None:
    on, settings = drawing(model, None), ShiftSettings(variants=3, seed=5)
    scenes = shift_scenes(on, [1, 2], settings)
    assert list(scenes) == [f"seed000{s}-v00{v}" for s in (1, 2) for v in range(3)]
    assert len({scene.edits for scene in scenes.values()}) == 6
    assert shift_scenes(on, [1, 2], settings) == scenes
    assert shift_scenes(on, [1, 2], ShiftSettings(variants=3, seed=6)) != scenes


@pytest.mark.parametrize("along", ["x", "y", "both"])
def test_random_parts_stay_in_the_picture(along: str) -> None:
    moves = [move for seed in range(100) for move in random_moves(str(seed), along)]  # type: ignore[arg-type]
    for move in moves:
        left, top, right, bottom = map(float, move.shape.removeprefix("box:").split(","))
        assert min(left, top, left + move.right, top + move.down) >= -0.001
        assert max(right, bottom, right + move.right, bottom + move.down) <= 1.001
    assert any(move.right for move in moves) == (along != "y")
    assert any(move.down for move in moves) == (along != "x")
    assert {move.action for move in moves} == {"copy", "swap", "mirror"}


def test_a_part_may_come_from_another_image(model: Model) -> None:
    """All of the second image's last features are its image."""
    settings = ShiftSettings(copies=("box:0,0,1,1 by 0.5,0",), softness=0, at="16px")
    (found,) = shift(model, 1, None, settings, parts_of=2)
    assert found.scene.main() == ("seed0001", "seed0002")
    (plain,) = shift(model, 1, None, ShiftSettings(mirrors=("box:0,0,0.01,0.01",), at="16px", softness=0.2))
    (other,) = shift(model, 2, None, ShiftSettings(mirrors=("box:0,0,0.01,0.01",), at="16px", softness=0.2))
    torch.testing.assert_close(found.image[..., 8:], other.image[..., :8], rtol=0, atol=1e-4)
    torch.testing.assert_close(found.image[..., :8], plain.image[..., :8], rtol=0, atol=1e-4)


def test_masks_are_shapes(model: Model, tmp_path: Path) -> None:
    Image.new("L", (8, 8), 255).save(tmp_path / "all.png")
    (by_mask,) = shift(model, 1, None, ShiftSettings(mirrors=(f"{tmp_path}/all.png x",), at="8px"))
    (by_box,) = shift(model, 1, None, ShiftSettings(mirrors=("all:1 x",), at="8px"))
    assert torch.equal(by_mask.image, by_box.image)


@pytest.mark.parametrize("at", ["8px", "16px"])
def test_variants_in_every_architecture(each_model: Model, at: str) -> None:
    found = list(shift(each_model, 1, None, ShiftSettings(variants=3, along="both", at=at)))
    assert [one.image.shape for one in found] == [(3, 16, 16)] * 3
    assert all(one.image.isfinite().all() for one in found)
    assert not torch.equal(found[0].image, found[1].image)


@pytest.mark.parametrize(
    ("shifting", "message"),
    [
        ({}, "Nothing would be moved. Give --copy"),
        ({"softness": 2}, "--softness is 2; it must be between 0"),
        ({"copies": ("box:0,0,0.5,1",)}, "Not a part to copy"),
        ({"copies": ("box:0.51,0.51,0.52,0.52 by 0.1,0",)}, "covers none of the 8x8 pixels of this layer"),
        ({"copies": ("box:0,0,0.5,1 by -0.6,0",)}, "out of the picture. Move it less far"),
        ({"mirrors": ("all:1",), "at": "512px"}, "would act at no layer"),
        ({"mirrors": ("no.png",)}, "The image file no.png is not there"),
    ],
)
def test_what_cannot_be_moved_is_refused(model: Model, shifting: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, EditError, SceneError), match=message.replace(".", r"\.")):
        list(shift(model, 1, None, ShiftSettings(**{"softness": 0, "at": "8px", **shifting})))


def test_parts_come_from_one_image(model: Model) -> None:
    with pytest.raises(UsageError, match="Parts are taken from one image; 2 were given"):
        list(shift(model, 1, None, ShiftSettings(mirrors=("all:1",)), parts_of=[2, 3]))
