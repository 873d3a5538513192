from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgkit.edits import at_kind, closing, compose, crop, everywhere, move, pad, repeat, resize, ring, shift, tile
from sgkit.errors import EditError, UsageError
from sgkit.model import Branch, Canvas, Edit, LayerSpec, Model, NoNoise, Side, State, bound, walk

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


def state(size: tuple[int, int], canvas: Canvas | None = None) -> State:
    height, width = size
    x = torch.arange(2 * height * width, dtype=torch.float32).reshape(1, 2, height, width)
    return State(x=x, rgb=x[:, :1] + 0.5, shortcut=x + 0.25, canvas=canvas or Canvas.of_size(size))


def act(edit: Edit, before: State) -> State:
    """The state after the edit; x, rgb, shortcut and canvas must have moved together."""
    (after,) = bound(edit, (SPEC,))(SPEC, [before])
    assert after.place.size == after.features.shape[2:]
    if after.rgb is not None and after.shortcut is not None:
        torch.testing.assert_close(after.rgb, after.features[:, :1] + 0.5)
        torch.testing.assert_close(after.shortcut, after.features + 0.25)
    return after


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
    (padded,) = bound(pad(*amounts, where=everywhere, mode=mode), (SPEC,))(SPEC, [before])  # type: ignore[arg-type]
    left, right, top, bottom = amounts
    assert padded.features.shape[2:] == (size[0] + top + bottom, size[1] + left + right)
    after = act(crop(*amounts, where=everywhere), padded)
    assert torch.equal(after.features, before.features)
    assert after.canvas == before.canvas
    assert padded.canvas == Canvas(before.place.y.extended(top, bottom), before.place.x.extended(left, right))


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
    ones = State(x=torch.ones(1, 1, *size), canvas=Canvas.of_size(size))
    moved = act(shift(x, y, where=everywhere, mode="constant"), ones).features
    assert moved.shape[2:] == size
    assert moved.sum() == max(size[0] - abs(y), 0) * max(size[1] - abs(x), 0)


def test_resizing_stretches_everything() -> None:
    after = act(resize(2.0, 1.5, where=everywhere), state((4, 4)))
    assert after.features.shape[2:] == (8, 6)


@given(st.integers(1, 6), st.integers(0, 8), st.integers(0, 8), st.integers(0, 3), st.sampled_from(["x", "y"]))
def test_a_ring_continues_over_both_its_edges(period: int, before: int, after: int, margin: int, axis: str) -> None:
    side = Side(-before, before + period + after, 0, period, is_periodic=True)
    canvas = Canvas(Side.whole(2), Side.whole(2), margin).with_side(axis, side)  # type: ignore[arg-type]
    given_state = state(canvas.size, canvas)
    closed, dimension = act(ring(where=everywhere), given_state).features, 3 if axis == "x" else 2
    assert closed.shape == given_state.features.shape
    for index in range(closed.shape[dimension]):
        inside = (index - before - margin) % period + before + margin
        assert torch.equal(closed.select(dimension, index), given_state.features.select(dimension, inside))


def test_an_open_canvas_has_no_ring_to_close() -> None:
    before = state((4, 6))
    assert torch.equal(act(ring(where=everywhere), before).features, before.features)


@pytest.mark.parametrize(
    "edit",
    [
        pad(3, 1, 2, 0, where=closing(8), mode="replicate"),
        crop(2, 1, 1, 0, where=closing(8)),
        shift(2, -1, where=closing(8), mode="replicate"),
        tile(19, where=closing(8)),
        resize(2, 1.5, where=closing(8)),
        resize(0.5, 1, where=closing(8)),
        repeat(0.2, 0, 0.6, 0.5, times=4, where=closing(8), softness=0.2),
        pad(0, 9, where=closing(8), mode="circular"),
    ],
    ids=["pad", "crop", "shift", "tile", "resize", "shrink", "repeat", "pad-far"],
)
def test_geometry_changes_the_canvas_of_every_architecture(each_model: Model, branches_of, edit: Edit) -> None:
    """Margins and later layers fit: an edit that forgot the canvas would be refused by the next layer's noise."""
    [branch] = branches_of(each_model, (1,))
    (plain,), (edited,) = walk([branch]), walk([branch], edit=edit)
    assert edited.image.shape[2:] == edited.place.of(edited.image).size
    assert edited.place != plain.place
    assert edited.image.isfinite().all()


@pytest.mark.parametrize("name", ["stylegan2-f", "stylegan2-e-gresnet-dorig", "stylegan1-f"])
def test_stored_noise_follows_what_it_was_added_to(tiny_model, branches_of, name: str) -> None:
    """After pad(left=4) the same content gets the same noise; so it does after crop and shift."""
    [branch] = branches_of(tiny_model(name), (1,))
    seen: dict[str, list[torch.Tensor | None]] = {}

    def noting(spec: LayerSpec, stored: torch.Tensor, canvas: Canvas, batch: int) -> torch.Tensor | None:
        seen.setdefault(spec.name, []).append(branch.noise(spec, stored, canvas, batch))
        return seen[spec.name][-1]

    for left, top, edit in (
        (4, 2, pad(4, 1, 2, 0, where=closing(8))),
        (-2, -1, crop(2, 0, 1, 0, where=closing(8))),
        (3, -1, shift(3, -1, where=closing(8), mode="replicate")),
    ):
        seen.clear()
        watched = Branch(branch.network, branch.styles, noting)
        walk([watched])
        walk([watched], edit=edit)
        for name_of_layer in ("b16_conv0", "b16_conv1"):
            plain, moved = seen[name_of_layer]
            assert plain is not None
            assert moved is not None
            assert torch.equal(_inside(moved, 2 * left, 2 * top), _inside(plain, -2 * left, -2 * top))


def _inside(noise: torch.Tensor, left: int, top: int) -> torch.Tensor:
    """8x8 pixels of the content, from (4, 4) on, wherever content that starts at (left, top) has them."""
    top, left = 6 + max(top, 0), 6 + max(left, 0)
    return noise[..., top : top + 4, left : left + 4]


@given(SIZES, st.tuples(*[st.integers(0, 40)] * 4), st.sampled_from(["reflect", "circular", "replicate"]))
def test_padding_by_any_length_is_that_of_numpy(
    size: tuple[int, int], amounts: tuple[int, int, int, int], mode: str
) -> None:
    left, right, top, bottom = amounts
    x = torch.arange(size[0] * size[1]).reshape(1, 1, *size).float()
    names = {"reflect": "reflect", "circular": "wrap", "replicate": "edge"}
    expected = np.pad(x[0, 0].numpy(), ((top, bottom), (left, right)), mode=names[mode])  # type: ignore[call-overload]
    padded = act(pad(*amounts, where=everywhere, mode=mode), State(x=x, canvas=Canvas.of_size(size)))  # type: ignore[arg-type]
    assert np.array_equal(padded.features[0, 0].numpy(), expected)
    assert padded.place.x.start == -left


@given(st.integers(1, 5), st.sampled_from(["x", "y"]), st.booleans(), st.sampled_from([0.0, 0.3]))
def test_a_box_is_repeated_where_loops_repeat_it(times: int, axis: str, mirror: bool, softness: float) -> None:
    """Columns 2 to 5 of 8 are repeated in rows 4 and on of 10, and stretched above."""
    x = torch.randn(1, 2, 10, 8, generator=torch.Generator().manual_seed(times))
    turned = x if axis == "x" else x.transpose(2, 3)
    before = State(x=turned, canvas=Canvas.of_size((turned.shape[2], turned.shape[3])))
    ends = (0.25, 0.4, 0.625, 1.0)
    ends = ends if axis == "x" else (ends[1], ends[0], ends[3], ends[2])
    edit = repeat(*ends, times=times, where=everywhere, axis=axis, mirror=mirror, softness=softness)  # type: ignore[arg-type]
    (after,) = bound(edit, (SPEC,))(SPEC, [before])
    assert after.place.side(axis).length == 8 + (times - 1) * 3  # type: ignore[arg-type]
    found = after.features if axis == "x" else after.features.transpose(2, 3)
    for row in range(10):
        half = softness / 2
        place = (row + 0.5) / 10
        rising = min(max((place - 0.4 + half) / softness, 0), 1) if softness else float(place >= 0.4)
        falling = min(max((place - 1 + half) / softness, 0), 1) if softness else 0.0
        share = min(rising * rising * (3 - 2 * rising), 1 - falling * falling * (3 - 2 * falling))
        for column in range(found.shape[3]):
            copy, inside = divmod(column - 2, 3)
            if 0 <= copy < times:
                repeated = 2 + (2 - inside if mirror and copy % 2 else inside)
                stretched = 2 + (column - 2) // times
            else:
                repeated = stretched = column if column < 2 else column - (times - 1) * 3
            expected = x[0, :, row, stretched] * (1 - share) + x[0, :, row, repeated] * share
            torch.testing.assert_close(found[0, :, row, column], expected, rtol=0, atol=1e-6)


def test_a_box_that_cannot_be_repeated_is_refused() -> None:
    with pytest.raises(UsageError, match="0 times; it must be 1 or more"):
        repeat(0, 0, 1, 1, times=0, where=everywhere)
    with pytest.raises(UsageError, match="is empty"):
        repeat(0.5, 0, 0.5, 1, times=2, where=everywhere)


def test_one_branch_may_move_alone_and_shared_states_move_once(tiny_model, branches_of) -> None:
    pair, calls = branches_of(tiny_model()), []

    def flipped(tensor: torch.Tensor, canvas: Canvas) -> torch.Tensor:
        calls.append(tensor)
        return tensor.flip(3)

    shared = state((2, 2))
    one, other = bound(move(flipped, where=everywhere), (SPEC,))(SPEC, [shared, shared])
    assert one is other
    assert len(calls) == 3
    first, second = (s.image for s in walk(pair, edit=move(flipped, where=closing(16), branch=1)))
    plain = [s.image for s in walk(pair)]
    assert torch.equal(first, plain[0])
    assert torch.equal(second, plain[1].flip(3))


def test_tiling_the_input_makes_a_wide_image_whose_inside_repeats(tiny_model, branches_of) -> None:
    """Away from the borders, where nothing of them is felt, a tiled constant gives a periodic picture."""
    [branch] = branches_of(tiny_model(), (1,), noise=NoNoise())
    image = walk([branch], edit=tile(32, where=at_kind("input")))[0].image
    assert image.shape[2:] == (16, 128)
    torch.testing.assert_close(image[..., 32:48], image[..., 64:80], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (crop(5, 5, where=closing(8)), "leaves nothing of 8x8"),
        (pad(2, where=at_kind("conv")), "the image so far has fewer pixels than the features"),
    ],
)
def test_impossible_geometry_is_refused(tiny_model, branches_of, edit: Edit, message: str) -> None:
    with pytest.raises(EditError, match=message):
        walk(branches_of(tiny_model(), (1,)), edit=edit)


def test_geometry_of_a_window_is_refused(tiny_model, branches_of) -> None:
    branches, window = branches_of(tiny_model(), (1,)), Canvas(Side.whole(4), Side(0, 4, 0, 8, is_periodic=True))
    with pytest.raises(EditError, match="this canvas is only a window of it"):
        walk(branches, edit=pad(2, where=closing(8)), canvas=window)
    with pytest.raises(EditError, match="A ring of 8 pixels cannot close on a window of 4 of them"):
        walk(branches, edit=ring(where=everywhere), canvas=window)
    with pytest.raises(EditError, match="masks and geometry edits need a generator"):
        bound(pad(2, where=everywhere), (SPEC,))(SPEC, [State(x=torch.zeros(1, 1, 4, 4))])
