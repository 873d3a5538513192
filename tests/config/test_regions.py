from __future__ import annotations

from pathlib import Path

import pytest

from sgkit.config.regions import FACE_PARTS, parse_region, read_part_table
from sgkit.errors import InputError, UsageError
from sgkit.render.parts import PARTS


def test_the_parts_are_those_that_have_outlines() -> None:
    assert tuple(PARTS) == FACE_PARTS


@pytest.mark.parametrize(
    ("text", "shape", "parts"),
    [
        ("eyes", None, ("eyes",)),
        ("part:eyes, Mouth,eyes", None, ("eyes", "mouth")),
        ("box:0,0,0.5,1", "box:0,0,0.5,1", ()),
        ("not:box:0,0,0.5,1", "not:box:0,0,0.5,1", ()),
        ("mask.png", "mask.png", ()),
        ("my eyes.PNG", "my eyes.PNG", ()),
        ("mask:anything", "mask:anything", ()),
    ],
)
def test_regions_are_shapes_or_parts(text: str, shape: str | None, parts: tuple[str, ...]) -> None:
    region = parse_region(text)
    assert (region.shape, region.parts) == (shape, parts)


@pytest.mark.parametrize(
    ("text", "known", "message"),
    [
        (
            "eye",
            FACE_PARTS,
            r"Unknown part or shape 'eye'\. Did you mean 'eyes'\?.*A shape is written like box",
        ),
        ("part:eyes,ears", FACE_PARTS, "Unknown part or shape 'ears'"),
        ("eyes", ("sky", "lake"), "Unknown part or shape 'eyes'.*Allowed: sky, lake"),
        ("box:1,2", FACE_PARTS, "Not a shape: 'box:1,2'"),
        ("circle:1", FACE_PARTS, "Unknown shape 'circle:1'"),
        ("box:40,90,160,150", FACE_PARTS, "Divide pixels by the picture's width and height"),
        ("", FACE_PARTS, "Unknown shape ''"),
    ],
)
def test_what_is_no_region_is_refused(text: str, known: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_region(text, known)


def test_a_table_gives_the_numbers_of_parts(tmp_path: Path) -> None:
    path = tmp_path / "parts.json"
    path.write_text('{"Eyes": [4, 5], "hair": 17}')
    assert read_part_table(path) == {"eyes": (4, 5), "hair": (17,)}


@pytest.mark.parametrize("text", ['{"eyes": "four"}', '{"eyes": []}', '{"eyes": [-1]}', "[]", "{}", '{"eyes": 1e9}'])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "parts.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"parts\.json.*eyes"):
        read_part_table(path)
