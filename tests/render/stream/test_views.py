"""Windows of a large image, from tiles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sgkit.render.pan import Pan
from sgkit.render.stream.views import Views, pan_frames
from tests.render.stream.planes import Counted, picture

PIXELS = picture()
HEIGHT, WIDTH = 75, 130


@given(st.data())
def test_a_window_has_the_pixels_of_the_image(data: st.DataObject) -> None:
    wraps = data.draw(st.tuples(st.booleans(), st.booleans()))
    width, height = data.draw(st.integers(1, WIDTH)), data.draw(st.integers(1, HEIGHT))
    left = data.draw(st.integers(0, 3 * WIDTH if wraps[0] else WIDTH - width))
    top = data.draw(st.integers(0, 3 * HEIGHT if wraps[1] else HEIGHT - height))
    expected = np.roll(PIXELS, (-top, -left), axis=(0, 1))[:height, :width]
    views = Views(Counted(PIXELS), tile=32, wraps=wraps)
    assert np.array_equal(views.window(left, top, width, height), expected)
    assert np.array_equal(views.window(left, top, width, height), expected)


def test_a_moving_view_draws_each_tile_once_and_keeps_few() -> None:
    plane = Counted(PIXELS)
    views = Views(plane, tile=16)
    frames = list(pan_frames(views, Pan(path=((0, 0), (90, 50)), width=40, height=25), 46))
    assert len(frames) == 46
    assert len(plane.drawn) == len(set(plane.drawn)) < 45
    assert len(views._kept) <= 2 * 4 * 3 + 2
