from __future__ import annotations

import pytest

from sgkit.config.placed import EXAMPLES, Move, PlacedShape, parse_move, parse_placed
from sgkit.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("box:0,0,1,1", PlacedShape(shape="box:0,0,1,1")),
        (" 3 = all:0.5 ", PlacedShape(shape="all:0.5", number=3)),
        ("2=ramp:x@to 32px", PlacedShape(shape="ramp:x", number=2, layers="to 32px")),
        ("me@home/mask.png", PlacedShape(shape="me@home/mask.png")),
        ("me@home.png@coarse", PlacedShape(shape="me@home.png", layers="coarse")),
    ],
)
def test_shapes_for_images_are_read(text: str, expected: PlacedShape) -> None:
    assert parse_placed(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1=all:0.5", "is for image 1. Images are counted from 1, and the first one is under the others"),
        ("2=circle:1", "Unknown shape 'circle:1'"),
        ("all:0.5@corse", "Unknown layers 'corse'. Did you mean 'coarse'"),
        ("2=", "Unknown shape ''"),
    ],
)
def test_wrong_shapes_for_images_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        parse_placed(text)


@pytest.mark.parametrize(
    ("action", "text", "expected"),
    [
        ("copy", "box:0,0,0.5,1 by 0.5,-.25", {"shape": "box:0,0,0.5,1", "right": 0.5, "down": -0.25}),
        ("copy", "box:0.1,0.2,0.5,1 to 0.4,0", {"right": 0.4 - 0.1, "down": -0.2}),
        ("swap", "polygon:0.1,0.1,0.5,0.1,0.5,0.5 to 0.2,0.3", {"right": 0.1, "down": 0.3 - 0.1}),
        ("move", "my mask.png by 0.1,0 mirror x", {"shape": "my mask.png", "mirror": "x"}),
        ("copy", "box:0,0,0.5,1 by 0,0 mirror y", {"mirror": "y"}),
        ("mirror", "box:0,0,1,1", {"mirror": "x", "right": 0.0}),
        ("mirror", "mask.png both", {"mirror": "both", "shape": "mask.png"}),
    ],
)
def test_parts_are_read(action: str, text: str, expected: dict[str, object]) -> None:
    found = parse_move(action, text)  # type: ignore[arg-type]
    assert found.action == action
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("action", "text", "message"),
    [
        ("copy", "box:0,0,1,1", "Not a part to copy: 'box:0,0,1,1'. Give a shape, then 'by X,Y'"),
        ("copy", "box:0,0,1,1 by 1", "Not a part to copy"),
        ("move", "box:0,0,1,1 by 0.5,0 mirror z", "Not a part to move"),
        ("copy", "ring:1 by 0.5,0", "Unknown shape 'ring:1'"),
        ("copy", "mask.png to 0.5,0", "'mask.png' has no left and top edge"),
        ("copy", "all:0.5 by 0,0", "moves the part by nothing"),
        ("copy", "box:0,0,0.5,1 by 1.5,0", "out of the picture; both must be between -1 and 1"),
        ("mirror", "box:0,0,32,32", "reaches far outside the picture"),
        ("turn", "box:0,0,1,1 by 0.1,0", "Unknown action 'turn'"),
    ],
)
def test_wrong_parts_are_refused(action: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        parse_move(action, text)  # type: ignore[arg-type]


def test_examples_in_messages_are_right() -> None:
    for action, example in EXAMPLES.items():
        assert isinstance(parse_move(action, example), Move)
