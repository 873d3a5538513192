"""The view that moves over a large image."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgkit.errors import UsageError
from sgkit.render.pan import Pan, straight


@pytest.mark.parametrize(
    ("axis", "view", "wraps", "path", "loop"),
    [
        ("x", None, (False, False), ((0, 0), (1000 - 213, 0)), False),
        ("x", (200, 100), (False, False), ((0, 10), (800, 10)), False),
        ("x", (200, 100), (True, False), ((0, 10), (1000, 10)), True),
        ("y", (1000, 40), (False, False), ((0, 0), (0, 80)), False),
        ("y", (1000, 40), (False, True), ((0, 0), (0, 120)), True),
        ("y", (500, 120), (False, True), ((250, 0), (250, 120)), True),
    ],
)
def test_a_view_moves_over_the_whole_image(
    axis: str,
    view: tuple[int, int] | None,
    wraps: tuple[bool, bool],
    path: tuple[tuple[int, int], ...],
    loop: bool,
) -> None:
    pan = straight(axis, width=1000, height=120, view=view, wraps=wraps)
    assert (pan.path, pan.loop) == (path, loop)
    assert (pan.width, pan.height) == (view or (213, 120))


def test_a_view_passes_its_corners_at_a_steady_speed() -> None:
    pan = Pan(path=((0, 0), (30, 0), (30, 40), (30, 40)), width=5, height=5)
    assert [pan.position(frame, 8) for frame in range(8)] == [
        *((0, 0), (10, 0), (20, 0), (30, 0)),
        *((30, 10), (30, 20), (30, 30), (30, 40)),
    ]


def test_a_loop_leaves_its_last_frame_out() -> None:
    pan = Pan(path=((0, 3), (40, 3)), width=5, height=5, loop=True)
    assert [pan.position(frame, 4) for frame in range(4)] == [(0, 3), (10, 3), (20, 3), (30, 3)]


@pytest.mark.parametrize(
    ("path", "size", "wraps", "said"),
    [
        (((0, 0), (9, 0)), (101, 20), (False, False), "larger than the image of 100x50"),
        (((0, 0), (81, 0)), (20, 20), (False, False), r"at 81,0 leaves .* may be at 0,0 to 80,30"),
        (((0, 0), (0, 31)), (20, 20), (True, False), r"at 0,31 leaves .* may be at 0,0 to 100,30"),
        (((7, 7), (7, 7)), (20, 20), (False, False), "cannot move"),
    ],
)
def test_a_view_that_cannot_be_is_refused(
    path: tuple[tuple[int, int], ...], size: tuple[int, int], wraps: tuple[bool, bool], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Pan(path=path, width=size[0], height=size[1]).check(width=100, height=50, wraps=wraps)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=2, max_size=5), st.integers(2, 50))
def test_positions_stay_between_the_corners(path: list[tuple[int, int]], frames: int) -> None:
    pan = Pan(path=tuple(path), width=1, height=1)
    found = [pan.position(frame, frames) for frame in range(frames)]
    assert found[0] == path[0]
    assert found[-1] == path[-1]
    for axis in (0, 1):
        values = [corner[axis] for corner in path]
        assert all(min(values) <= place[axis] <= max(values) for place in found)
