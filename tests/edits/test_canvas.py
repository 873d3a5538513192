from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgkit.edits import at_kind, closing, compose, crop, everywhere, move, pad, resize, ring, shift, tile
from sgkit.errors import EditError
from sgkit.model import Branch, FeatureEdit, LayerSpec, Model, NoNoise, State, steps, walk

SPEC = LayerSpec(
    index=0,
    name="b4_input",
    kind="input",
    operator="constant",
    resolution=4,
    size=(4, 4),
    in_channels=0,
    out_channels=2,
)
SIZES = st.tuples(st.integers(2, 9), st.integers(2, 9))


def state(size: tuple[int, int]) -> State:
    height, width = size
    x = torch.arange(2 * height * width, dtype=torch.float32).reshape(1, 2, height, width)
    return State(x=x, rgb=x[:, :1] + 0.5, shortcut=x + 0.25)


def act(edit: FeatureEdit, before: State) -> State:
    """The state behind the edit; x, rgb and shortcut must have moved together."""
    (after,) = edit(SPEC, [before])
    assert after.rgb is not None
    assert after.shortcut is not None
    assert torch.equal(after.rgb, after.features[:, :1] + 0.5)
    assert torch.equal(after.shortcut, after.features + 0.25)
    return after


def quiet(branch: Branch) -> Branch:
    return Branch(branch.network, branch.styles, NoNoise())


@given(SIZES, st.integers(1, 30), st.sampled_from(["x", "y"]))
def test_a_tiled_canvas_repeats_with_its_own_period(size: tuple[int, int], length: int, axis: str) -> None:
    before = state(size)
    after = act(tile(length, where=everywhere, axis=axis), before).features  # type: ignore[arg-type]
    dimension = 3 if axis == "x" else 2
    assert after.shape[dimension] == length
    for index in range(length):
        expected = before.features.select(dimension, index % before.features.shape[dimension])
        assert torch.equal(after.select(dimension, index), expected)


@given(SIZES, st.tuples(*[st.integers(0, 3)] * 4), st.sampled_from(["replicate", "constant"]))
def test_cropping_undoes_padding(size: tuple[int, int], amounts: tuple[int, int, int, int], mode: str) -> None:
    before = state(size)
    padded = pad(*amounts, where=everywhere, mode=mode)(SPEC, [before])[0]  # type: ignore[arg-type]
    left, right, top, bottom = amounts
    assert padded.features.shape[2:] == (size[0] + top + bottom, size[1] + left + right)
    after = act(crop(*amounts, where=everywhere), padded)
    assert torch.equal(after.features, before.features)


@given(SIZES, st.integers(-9, 9), st.integers(-9, 9))
def test_circular_shifts_can_be_undone(size: tuple[int, int], x: int, y: int) -> None:
    before = state(size)
    there = shift(x, y, where=everywhere)
    back = shift(-x, -y, where=everywhere)
    assert torch.equal(act(compose(there, back), before).features, before.features)
    moved = act(there, before).features
    assert moved[0, 0, y % size[0], x % size[1]] == before.features[0, 0, 0, 0]


@given(SIZES, st.integers(-4, 4), st.integers(-4, 4))
def test_a_shift_with_zeros_brings_in_nothing(size: tuple[int, int], x: int, y: int) -> None:
    ones = State(x=torch.ones(1, 1, *size))
    moved = shift(x, y, where=everywhere, mode="constant")(SPEC, [ones])[0].features
    assert moved.shape[2:] == size
    assert moved.sum() == max(size[0] - abs(y), 0) * max(size[1] - abs(x), 0)


def test_resizing_stretches_everything() -> None:
    after = act(resize(2.0, 1.5, where=everywhere), state((4, 4)))
    assert after.features.shape[2:] == (8, 6)


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 3), st.sampled_from(["x", "y"]))
def test_a_ring_continues_over_both_its_edges(period: int, halo: int, doublings: int, axis: str) -> None:
    scale, dimension = 1 << doublings, 3 if axis == "x" else 2
    period = max(period, halo)
    length = (period + 2 * halo) * scale
    before = state((2, length) if axis == "x" else (length, 2))
    after = act(ring(period, halo, where=everywhere, axis=axis), before).features  # type: ignore[arg-type]
    for index in range(length):
        inside = (index - halo * scale) % (period * scale) + halo * scale
        assert torch.equal(after.select(dimension, index), before.features.select(dimension, inside))


def test_geometry_fires_where_a_resolution_closes_in_every_architecture(model: Model, pair: list[Branch]) -> None:
    edit = pad(2, 2, where=closing(8), mode="circular")
    widths = {spec.name: state.features.shape[3] for spec, (state,) in steps(pair[:1], edit=edit)}
    assert widths["b8_conv0"] == 8
    assert widths["b16_conv0"] == 24
    assert walk(pair[:1], edit=edit)[0].image.shape[2:] == (16, 24)


def test_one_branch_may_move_alone_and_shared_states_move_once(pair: list[Branch]) -> None:
    calls = []

    def flipped(tensor: torch.Tensor) -> torch.Tensor:
        calls.append(tensor)
        return tensor.flip(3)

    shared = State(x=torch.zeros(1, 1, 2, 2))
    one, other = move(flipped, where=everywhere)(SPEC, [shared, shared])
    assert one is other
    assert len(calls) == 1
    first, second = (s.image for s in walk(pair, edit=move(lambda t: t.flip(3), where=closing(16), branch=1)))
    plain = [s.image for s in walk(pair)]
    assert torch.equal(first, plain[0])
    assert torch.equal(second, plain[1].flip(3))


def test_tiling_the_input_makes_a_wide_image_whose_inside_repeats(pair: list[Branch]) -> None:
    """Away from the borders, where nothing of them is felt, a tiled constant gives a periodic picture."""
    image = walk([quiet(pair[0])], edit=tile(32, where=at_kind("input")))[0].image
    assert image.shape[2:] == (16, 128)
    torch.testing.assert_close(image[..., 32:48], image[..., 64:80], rtol=0, atol=1e-5)


def test_impossible_geometry_is_refused(pair: list[Branch]) -> None:
    for edit, message in (
        (pad(9, where=closing(8)), "'reflect' by .9, 0, 0, 0."),
        (pad(0, 9, where=closing(8), mode="circular"), "larger canvas than 8x8"),
        (crop(5, 5, where=closing(8)), "leaves nothing of 8x8"),
        (ring(3, 1, where=closing(8)), "does not fit a canvas 8 long"),
    ):
        with pytest.raises(EditError, match=message):
            walk(pair[:1], edit=edit)
