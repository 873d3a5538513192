from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.edits import polygon
from sgkit.errors import InputError
from sgkit.model import Canvas
from sgkit.render.parts import PARTS, face_points, outlines, part_shapes, segmentation_of
from sgkit.render.shapes import mask_of


def drawn_points() -> np.ndarray:
    """68 landmarks of a face that looks straight ahead, as fractions of the picture."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[0:17] = np.stack([0.5 + 0.3 * np.cos(angle), 0.5 + 0.4 * np.sin(angle)], axis=1)
    points[17:22] = np.stack([np.linspace(0.27, 0.45, 5), np.full(5, 0.36)], axis=1)
    points[22:27] = np.stack([np.linspace(0.55, 0.73, 5), np.full(5, 0.36)], axis=1)
    points[27:31] = np.stack([np.full(4, 0.5), np.linspace(0.42, 0.58, 4)], axis=1)
    points[31:36] = np.stack([np.linspace(0.44, 0.56, 5), np.full(5, 0.61)], axis=1)
    for first, middle in ((36, 0.36), (42, 0.64)):
        turn = np.linspace(np.pi, 3 * np.pi, 6, endpoint=False)
        points[first : first + 6] = np.stack([middle + 0.06 * np.cos(turn), 0.44 + 0.02 * np.sin(turn)], axis=1)
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    points[48:60] = np.stack([0.5 + 0.1 * np.cos(turn), 0.74 + 0.03 * np.sin(turn)], axis=1)
    points[60:68] = (0.5, 0.74)
    return points


CANVAS = Canvas.of_size((50, 50))
INSIDE = {
    "eyes": [(0.36, 0.44), (0.64, 0.44)],
    "brows": [(0.36, 0.36), (0.64, 0.36)],
    "nose": [(0.5, 0.55)],
    "mouth": [(0.5, 0.74)],
    "face": [(0.5, 0.5), (0.36, 0.44), (0.5, 0.85), (0.5, 0.3)],
    "hair": [(0.5, 0.05), (0.15, 0.5), (0.85, 0.5)],
}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_where_it_is_in_a_face(part: str) -> None:
    cover = torch.stack([polygon(one.tolist())(CANVAS) for one in outlines(part, drawn_points())]).amax(dim=0)
    for name, places in INSIDE.items():
        if name == part or {name, part} & {"face"}:
            continue
        assert all(cover[int(y * 50), int(x * 50)] == 0 for x, y in places), name
    assert all(cover[int(y * 50), int(x * 50)] == 1 for x, y in INSIDE[part])


def test_without_a_face_the_message_says_what_to_give() -> None:
    pytest.importorskip("dlib")
    with pytest.raises(InputError, match=r"No face was found in the image of seed0003\. Give the region as a shape"):
        face_points(np.zeros((64, 64, 3), np.uint8), "seed0003")


def test_parts_of_a_segmentation_are_its_numbers(tmp_path: Path) -> None:
    numbers = np.zeros((20, 20), np.uint8)
    numbers[:10, :10], numbers[10:, 10:] = 4, 5
    Image.fromarray(numbers).save(tmp_path / "seg.png")
    found = segmentation_of(tmp_path / "seg.png", {"eyes": (4, 5), "nose": (4,)})
    (eyes,) = part_shapes(["eyes"], None, "x", softness=0.0, segmentation=found)
    from sgkit.render.inputs import Inputs
    from tests.builders import drawn_model

    mask = mask_of(eyes, Inputs(drawn_model()).mask)(Canvas.of_size((20, 20)))
    assert torch.equal(mask, torch.from_numpy((numbers > 0).astype(np.float32)))
