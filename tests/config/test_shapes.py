from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgkit.config.shapes import SHAPES, check_distance, check_layers, parse_shape
from sgkit.errors import UsageError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("box:0.2,0.3,0.8,0.6", {"kind": "box", "numbers": (0.2, 0.3, 0.8, 0.6)}),
        (" box: 0, 0, 1, 1, 0.1 ", {"numbers": (0, 0, 1, 1, 0.1), "softness": 0.1}),
        ("ramp:y", {"kind": "ramp", "axis": "y", "numbers": ()}),
        ("ramp:x,0.2,0.8", {"axis": "x", "numbers": (0.2, 0.8)}),
        ("polygon:0,0,1,0,1,1", {"softness": 0.0}),
        ("polygon:0,0,1,0,1,1,0.2", {"softness": 0.2, "bounds": (0, 0, 1, 1)}),
        ("radial:0.5,0.5,0.1,0.3", {"bounds": pytest.approx((0.2, 0.2, 0.8, 0.8))}),
        ("not:all:0.5", {"kind": "all", "is_inverse": True}),
        ("not:not:all:0.5", {"is_inverse": False}),
        ("hair.png", {"kind": "mask", "file": "hair.png", "softness": 0.0}),
        ("a,b.PNG,0.1", {"kind": "mask", "file": "a,b.PNG", "softness": 0.1}),
        ("mask:no ending", {"kind": "mask", "file": "no ending"}),
        ("not:C:\\m.png", {"kind": "mask", "file": "C:\\m.png", "is_inverse": True}),
    ],
)
def test_shapes_are_read(text: str, values: dict[str, object]) -> None:
    shape = parse_shape(text)
    assert {key: getattr(shape, key) for key in values} == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("circle:1", r"Unknown shape 'circle:1'\..*Allowed: box, ramp, all, ellipse, radial, .*Or give an image file"),
        ("bx:0,0,1,1", "Did you mean 'box'"),
        ("box:0.1,0.2", r"Not a shape: 'box:0\.1,0\.2'\. Write it like box:0\.2,0\.3,0\.8,0\.6 \(left, top, right"),
        ("box:a,b,c,d", "Not a shape"),
        ("box:nan,0,1,1", "Not a shape"),
        ("box:0,0,inf,1", "Not a shape"),
        ("ramp:z", r"Not a shape: 'ramp:z'\. Write it like ramp:x,0\.2,0\.8"),
        ("ramp:x,0.8,0.2", "runs backwards"),
        ("polygon:0,0,1,1", "Not a shape.*3 or more corners"),
        ("box:0.5,0,0.5,1", "is empty"),
        ("box:0,0,1,1,-1", "softness of .* is -1; it must be 0 or more"),
        ("box:32,64,96,128", "is outside the picture: it covers 32 to 96 of the width.*Divide pixels"),
        ("ellipse:-0.5,0,-0.1,1", "is outside the picture"),
        ("all:2", "is 2; it must be between 0 and 1"),
        ("radial:0.5,0.5,0.4,0.2", "radii"),
    ],
)
def test_what_is_not_a_shape_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_shape(text)


def test_pixels_are_told_from_fractions() -> None:
    assert check_distance("box:-0.5,0,1.5,1").kind == "box"
    with pytest.raises(UsageError, match=r"reaches far outside the picture\..*divide pixels by the picture's width"):
        check_distance("box:0.5,0.5,64,96")


@given(st.sampled_from([*SHAPES, "mask", "not", "", "x.png"]), st.text(max_size=30))
def test_no_text_breaks_the_parser(kind: str, rest: str) -> None:
    for text in (f"{kind}:{rest}", rest):
        with contextlib.suppress(UsageError):
            assert parse_shape(text).kind in (*SHAPES, "mask")


@pytest.mark.parametrize(
    "text", ["all", " Coarse", "0-3,5", "to 32px", "from 64 px", "at 16px", "b8_conv1,b8_rgb", "l3"]
)
def test_layers_that_some_model_may_have(text: str) -> None:
    assert check_layers(text) == text.strip().lower()


@pytest.mark.parametrize("text", ["coarsest", "32px", "-1", "3-", "to 32", ""])
def test_layers_that_no_model_has(text: str) -> None:
    with pytest.raises(UsageError, match=r"Unknown layers .*Numbers of w \(0-3,5\), 'to 32px'"):
        check_layers(text)


def test_the_grammar_loads_nothing_heavy() -> None:
    code = "import sys, sgkit.config.shapes; assert not {'torch', 'numpy', 'pydantic', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
