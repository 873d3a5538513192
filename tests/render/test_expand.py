from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sgkit.edits import closing, compose, pad, repeat, resize, tile
from sgkit.errors import EditError, UsageError
from sgkit.model import Branch, Edit, Model, walk
from sgkit.render.drawing import DrawSettings
from sgkit.render.expand import ExpandSettings, expand

AT = closing(8)


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model("stylegan2-f")


@pytest.mark.parametrize(
    ("expansion", "edit", "size"),
    [
        ({}, pad(4, 4, where=AT), (16, 32)),
        ({"factor": (1.5, 1.25)}, pad(2, 2, 1, 1, where=AT), (20, 24)),
        ({"factor": (2, 1), "mode": "constant"}, pad(4, 4, where=AT, mode="constant"), (16, 32)),
        ({"left": 2, "bottom": 34, "mode": "circular"}, pad(1, 0, 0, 17, where=AT, mode="circular"), (50, 18)),
        ({"factor": (2, 1.5), "mode": "tile"}, compose(tile(16, where=AT), tile(12, where=AT, axis="y")), (24, 32)),
        ({"right": 6, "mode": "tile"}, tile(11, where=AT), (16, 22)),
        ({"factor": (0.5, 2), "mode": "resize"}, resize(2, 0.5, where=AT), (32, 8)),
        (
            {"factor": (1, 3), "mode": "resize", "filter": "bicubic"},
            resize(3, 1, where=AT, mode="bicubic"),
            (48, 16),
        ),
        (
            {"repeat": "box:0,0.5,0.5,1,0.2", "times": 4},
            repeat(0, 0.5, 0.5, 1, times=4, where=AT, softness=0.2),
            (16, 40),
        ),
        (
            {"repeat": "box:0,0.5,0.5,1", "vertical": True},
            repeat(0, 0.5, 0.5, 1, times=3, where=AT, axis="y"),
            (32, 16),
        ),
    ],
)
def test_settings_are_edits(model: Model, expansion: dict[str, Any], edit: Edit, size: tuple[int, int]) -> None:
    (found,) = expand(model, 3, None, ExpandSettings(**expansion))
    expected = walk([Branch(model.generator.synthesis, model.styles(model.map(model.sample_z([3]))))], edit=edit)
    assert found.image.shape[1:] == size
    assert np.array_equal(found.image.numpy(), expected[0].image[0].numpy())


@pytest.mark.parametrize(
    ("expansion", "message"),
    [
        ({"right": 3}, r"--right 3 is not a whole number of features: at 8px one is 2 pixels.*Nearest: 2 or 4"),
        ({"left": 1}, r"Nearest: 2\. A finer --at"),
        ({"top": -2}, "--top is -2; it must be 0 or more"),
        ({"factor": (1, 1)}, "Nothing would be expanded"),
        ({"factor": (1, 1), "mode": "resize"}, "Nothing would be expanded"),
        ({"factor": (1, 1), "mode": "tile"}, "Nothing would be expanded"),
        ({"factor": (0.5, 1)}, "makes the image smaller; only --mode resize does that"),
        ({"factor": (65, 1)}, "out of range"),
        ({"mode": "resize", "left": 2}, "--mode resize stretches the whole image"),
        ({"mode": "tile", "left": 2}, "--mode tile repeats the image to the right and down"),
        ({"repeat": "ellipse:0,0,1,1"}, "--repeat takes a box"),
        ({"repeat": "not:box:0,0,1,1"}, "--repeat takes a box"),
        ({"repeat": "box:0,0,1,1", "times": 1}, "--times is 1; it must be from 2 to 1024"),
        ({"at": "middle"}, "Not a place for an edit: 'middle'"),
        ({"at": "512px"}, "would act at no layer: this network has no layers that close a resolution of 512 pixels"),
    ],
)
def test_what_cannot_be_expanded_is_refused(model: Model, expansion: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, EditError), match=message):
        list(expand(model, 3, None, ExpandSettings(**expansion)))


@pytest.mark.parametrize("at", ["4px", "16px"])
@pytest.mark.parametrize("mode", ["reflect", "tile", "resize"])
def test_every_resolution_of_every_architecture_can_be_expanded(each_model: Model, mode: str, at: str) -> None:
    settings = DrawSettings(noise="random") if any(s.has_noise for s in each_model.generator.synthesis.plan) else None
    found = list(expand(each_model, [1, 2], settings, ExpandSettings(factor=(2, 1), mode=mode, at=at)))  # type: ignore[arg-type]
    assert [one.image.shape for one in found] == [(3, 16, 32)] * 2
    assert all(np.isfinite(one.image.numpy()).all() for one in found)
