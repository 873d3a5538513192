from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgkit.errors import EditError
from sgkit.model import Branch, Canvas, Model, Side, State, StoredNoise, steps, synthesis_plan, walk


def branch_for_canvases(model: Model) -> Branch:
    """A branch that can be walked on any canvas: AdaIN's statistics are its own picture's."""
    network = model.generator.synthesis
    styles = model.styles(model.map(model.sample_z([3])))
    return Branch(network, network.measured(styles, StoredNoise()))


def drawn(branch: Branch, canvas: Canvas) -> State:
    return walk([branch], canvas=canvas)[0]


def shown(state: State, cells: Canvas, model: Model) -> torch.Tensor:
    """The pixels of a window that is given in cells."""
    return state.place.of(state.image).cut(state.image, cells.scaled(model.image_size[0] // 4))


# ----------------------------------------------------------------------------------- every architecture


def test_every_layer_s_canvas_has_the_size_of_its_features(each_model: Model) -> None:
    branch = branch_for_canvases(each_model)
    canvas = Canvas(Side(2, 5, 0, 9), Side(-1, 6, -1, 6))
    for spec, (state,) in steps([branch], canvas=canvas):
        if spec.kind != "rgb":
            assert state.features.shape[2:] == state.place.size, spec.name
        assert state.place.x.start * each_model.image_size[0] == -spec.pixels * each_model.image_size[0] // 4
    assert Canvas.canonical(branch.network.plan) == Canvas.of_size((4, 4))


def test_any_window_of_a_canvas_is_cut_from_the_whole(each_model: Model) -> None:
    branch = branch_for_canvases(each_model)
    whole, halo = Canvas.of_size((16, 20)), branch.network.halo()
    picture = drawn(branch, whole)
    for top, left, height, width in ((0, 0, 2, 3), (7, 9, 1, 2), (13, 0, 3, 1), (2, 16, 5, 4), (0, 0, 16, 20)):
        window = Canvas(whole.y.part(top, height), whole.x.part(left, width))
        part = drawn(branch, window.grown(halo))
        expected = shown(picture, window, each_model)
        scale = float(expected.abs().max())
        torch.testing.assert_close(shown(part, window, each_model), expected, rtol=0, atol=1e-5 * max(scale, 1))


def test_a_shifted_canvas_gives_shifted_pixels_away_from_the_borders(each_model: Model) -> None:
    branch = branch_for_canvases(each_model)
    halo = branch.network.halo()
    length = 2 * halo + 5
    one = drawn(branch, Canvas.of_size((length, length)))
    y, x = Side(-2, length, -2, length), Side(3, length, 3, length)
    other = drawn(branch, Canvas(y, x))
    both = Canvas(Side(halo, 3, 0, length), Side(halo + 3, 2, 0, length))
    torch.testing.assert_close(shown(one, both, each_model), shown(other, both, each_model), rtol=0, atol=1e-4)


def test_the_canvas_of_the_model_s_own_picture_changes_nothing(each_model: Model) -> None:
    """Also where AdaIN normalises by given statistics: they are those that it would compute."""
    plain = each_model.synthesize(each_model.map(each_model.sample_z([3])))
    assert torch.equal(drawn(branch_for_canvases(each_model), Canvas.of_size((4, 4))).image, plain)


def test_a_layer_reads_no_further_than_its_reach(each_model: Model) -> None:
    branch = branch_for_canvases(each_model)
    network, size = branch.network, 12
    states = [State(canvas=Canvas.of_size((size, size)))]
    for spec in network.plan:
        before = states
        states = walk([branch], states=before, start=spec.index, stop=spec.index + 1)
        if spec.kind != "conv":
            continue
        place, reach = before[0].place, network.layer(spec.name).reach
        row = column = place.size[0] // 2
        changed = before[0].map(torch.clone)
        changed.features[:, :, row, column] += 1
        [after] = walk([branch], states=[changed], start=spec.index, stop=spec.index + 1)
        touched = (after.features - states[0].features).abs().amax(dim=(0, 1)) > 1e-6
        for dimension in (0, 1):
            found = torch.nonzero(touched.any(dim=1 - dimension)).flatten()
            pixels = (found - spec.margin) // spec.scale - (row - place.margin)  # in pixels of the input
            assert pixels.abs().max() <= reach, spec.name
            assert pixels.abs().max() >= reach - 1, spec.name


# --------------------------------------------------------------------------------------------- the value

SIDES = st.builds(Side, st.integers(-9, 9), st.integers(1, 9), st.integers(-9, 9), st.integers(1, 9), st.booleans())


@given(SIDES, st.integers(1, 5), st.integers(-3, 3), st.integers(0, 3))
def test_geometry_of_a_side_can_be_undone(side: Side, factor: int, amount: int, more: int) -> None:
    assert side.scaled(factor).scaled(1, factor) == side
    assert side.shifted(amount).shifted(-amount) == side
    assert side.extended(more, amount).extended(-more, -amount) == side


@given(SIDES, st.integers(0, 4), st.integers(0, 4))
def test_positions_and_pixels_say_where_a_tensor_is(side: Side, margin: int, halo: int) -> None:
    canvas = Canvas(side, Side.whole(3), margin)
    pixels, positions = canvas.pixels("y"), canvas.positions("y")
    assert len(pixels) == len(positions) == canvas.size[0]
    assert ((positions > 0) & (positions < 1)).all()
    for index, position in enumerate(positions.tolist()):
        pixel = side.start - margin + index
        inside = (pixel - side.frame_start) % side.frame_length + side.frame_start
        if side.is_periodic:
            assert (pixels[index] - pixel) % side.frame_length == 0
            assert 0 <= pixels[index] < side.frame_length
        else:
            assert pixels[index] == pixel
            inside = min(max(pixel, side.frame_start), side.frame_start + side.frame_length - 1)
        assert position == pytest.approx((inside - side.frame_start + 0.5) / side.frame_length)
    grown = side.grown(halo)
    assert grown.start <= side.start
    assert grown.start + grown.length >= side.start + side.length
    if side.is_periodic:
        assert grown.length == side.length + 2 * halo
    elif side.frame_start <= side.start and side.start + side.length <= side.frame_start + side.frame_length:
        assert grown.start >= side.frame_start
        assert grown.start + grown.length <= side.frame_start + side.frame_length


def test_half_cells_stay_exact(tiny_config) -> None:
    """Half a cell is 1 pixel from resolution 8 on, and 16 at resolution 128."""
    canvas = Canvas.of_size((8, 8)).with_side("x", Side.whole(8).extended(1, 0))
    for spec in synthesis_plan(tiny_config(size=(128, 128))):
        if spec.resolution > 8:
            canvas = canvas.after(spec)
    assert canvas.x == Side(-16, 144, -16, 144)


def test_the_image_so_far_has_its_own_canvas() -> None:
    canvas = Canvas(Side(2, 8, -2, 16), Side.whole(8))
    assert canvas.of(torch.zeros(1, 3, 4, 4)) == Canvas(Side(1, 4, -1, 8), Side.whole(4))
    for size in ((4, 8), (3, 3)):
        with pytest.raises(EditError, match=rf"{size[1]}x{size[0]} \(WxH\)|does not divide"):
            canvas.of(torch.zeros(1, 3, *size))
    with pytest.raises(
        EditError, match=r"A window from 0 to 4 along y is not within the canvas, which is from 2 to 10"
    ):
        canvas.cut(torch.zeros(1, 3, 8, 8), Canvas.of_size((4, 4)))
