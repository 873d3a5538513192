from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sgkit.edits import Patch, at_kind, box, closing, paste
from sgkit.errors import EditError
from sgkit.model import Canvas, Edit, Model, Side, State, bound, walk
from sgkit.model.spec import Plan

HEIGHT, WIDTH = 8, 12


def states(
    *seeds: int, canvas: Canvas | None = None, layout: torch.memory_format = torch.contiguous_format
) -> list[State]:
    size = (HEIGHT, WIDTH) if canvas is None else canvas.size
    found = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        x, rgb = (torch.randn(2, c, *size, generator=generator).contiguous(memory_format=layout) for c in (5, 3))
        found.append(State(x=x, rgb=rgb, canvas=canvas or Canvas.of_size(size)))
    return found


def applied(edit: Edit, given: list[State], plan: Plan) -> list[State]:
    spec = next(spec for spec in plan if spec.kind == "rgb")
    return bound(edit, plan)(spec, given)


@pytest.fixture
def plan(tiny_model: Callable[..., Model]) -> Plan:
    return tiny_model().generator.synthesis.plan


def naive(target: Tensor, source: Tensor, patch: Patch, *, left: int, top: int, right: int, bottom: int) -> Tensor:
    """A hard box of pixels moved, by loops."""
    result = target.clone()
    across, down = round(patch.right * WIDTH), round(patch.down * HEIGHT)
    for row in range(top, bottom):
        for column in range(left, right):
            from_row = top + bottom - 1 - row if patch.mirror in ("y", "both") else row
            from_column = left + right - 1 - column if patch.mirror in ("x", "both") else column
            to_row, to_column = row + down, column + across
            if patch.back:
                to_row, to_column, from_row, from_column = row, column, from_row + down, from_column + across
            if all(0 <= r < HEIGHT and 0 <= c < WIDTH for r, c in ((to_row, to_column), (from_row, from_column))):
                result[:, :, to_row, to_column] = source[:, :, from_row, from_column]
    return result


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("mirror", ["none", "x", "y", "both"])
@pytest.mark.parametrize("branch", [0, 1])
def test_a_part_is_painted_where_loops_paint_it(plan: Plan, branch: int, mirror: str, *, back: bool) -> None:
    mask = box(2 / WIDTH, 1 / HEIGHT, 7 / WIDTH, 5 / HEIGHT)
    patch = Patch(mask=mask, right=6 / WIDTH, down=1 / HEIGHT, mirror=mirror, branch=branch, back=back)  # type: ignore[arg-type]
    given = states(1, 2)
    changed = applied(paste([patch], where=at_kind("rgb")), given, plan)
    for name in ("x", "rgb"):
        before, source = getattr(given[0], name), getattr(given[branch], name)
        expected = naive(before, source, patch, left=2, top=1, right=7, bottom=5)
        assert torch.equal(getattr(changed[0], name), expected)
    assert changed[1] is given[1]


def test_two_parts_are_exchanged_at_once(plan: Plan) -> None:
    mask = box(0, 0, 4 / WIDTH, 1)
    exchange = [Patch(mask=mask, right=0.5, back=True), Patch(mask=mask, right=0.5)]
    (before,) = states(1)
    changed = applied(paste(exchange, where=at_kind("rgb")), [before], plan)[0]
    assert torch.equal(changed.features[..., :4], before.features[..., 6:10])
    assert torch.equal(changed.features[..., 6:10], before.features[..., :4])
    again = applied(paste(exchange, where=at_kind("rgb")), [changed], plan)[0]
    assert torch.equal(again.features, before.features)


def test_soft_edges_blend(plan: Plan) -> None:
    mask = box(0, -1, 0.5, 2, softness=0.4)
    (before,) = states(1)
    changed = applied(paste([Patch(mask=mask, right=0.25)], where=at_kind("rgb")), [before], plan)[0]
    weights = mask(before.place)[0]
    for column in range(3, WIDTH):
        share = weights[column - 3]
        expected = before.features[..., column] * (1 - share) + before.features[..., column - 3] * share
        torch.testing.assert_close(changed.features[..., column], expected)


def test_the_image_may_stay(plan: Plan) -> None:
    (before,) = states(1)
    patch = Patch(mask=box(0, 0, 0.5, 1), right=0.5)
    changed = applied(paste([patch], where=at_kind("rgb"), image=False), [before], plan)[0]
    assert changed.rgb is before.rgb
    assert not torch.equal(changed.features, before.features)


def test_a_hole_is_filled_from_around_it(plan: Plan) -> None:
    """What is constant around the hole is constant in it; a slope stays between its ends."""
    mask = box(0.25, 0.25, 0.75, 0.75)
    hole = paste([Patch(mask=mask, fill=True)], where=at_kind("rgb"))
    canvas = Canvas.of_size((HEIGHT, WIDTH))
    inside = mask(canvas) == 1
    constant = torch.where(inside, torch.full((1, 1, HEIGHT, WIDTH), 9.0), torch.full((1, 1, HEIGHT, WIDTH), 2.0))
    slope = torch.arange(WIDTH).float().expand(1, 1, HEIGHT, WIDTH) + 100 * inside
    for x, low, high in ((constant, 2, 2), (slope, 0, WIDTH - 1)):
        filled = applied(hole, [State(x=x, canvas=canvas)], plan)[0].features
        assert torch.equal(filled[:, :, ~inside], x[:, :, ~inside])
        assert filled.min() >= low - 1e-5
        assert filled.max() <= high + 1e-5
    assert (filled[0, 0, 4, 3:9].diff() > 0).all()


def test_a_ring_is_continued_over_its_edge(plan: Plan) -> None:
    canvas = Canvas(Side.whole(HEIGHT), Side.whole(WIDTH, is_periodic=True))
    (before,) = states(1, canvas=canvas)
    changed = applied(paste([Patch(mask=box(0.5, 0, 1, 1), right=0.25)], where=at_kind("rgb")), [before], plan)[0]
    assert torch.equal(changed.features[..., :3], before.features[..., 9:])


def test_the_memory_layout_is_kept(plan: Plan) -> None:
    given = states(1, layout=torch.channels_last)
    changed = applied(paste([Patch(mask=box(0, 0, 0.5, 1), right=0.5)], where=at_kind("rgb")), given, plan)
    assert changed[0].features.is_contiguous(memory_format=torch.channels_last)


def test_parts_move_in_every_architecture(each_model: Model, branches_of: Callable[..., list]) -> None:
    branches = branches_of(each_model, (1, 2))
    plain = walk(branches[:1])[0].image
    patches = [
        Patch(mask=box(0, 0, 0.5, 0.5), right=0.5, mirror="x", branch=1),
        Patch(mask=box(0, 0, 0.3, 1), fill=True),
    ]
    image = walk(branches, edit=paste(patches, where=closing(8)))[0].image
    assert image.shape == plain.shape
    assert torch.isfinite(image).all()
    assert not torch.allclose(image, plain, atol=1e-3)


def test_a_window_is_refused(plan: Plan) -> None:
    window = Canvas(Side.whole(HEIGHT), Side(3, WIDTH, 0, 40))
    with pytest.raises(EditError, match="this canvas is only a window of it"):
        applied(paste([Patch(mask=box(0, 0, 0.5, 1), right=0.5)], where=at_kind("rgb")), states(1, canvas=window), plan)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (Patch(mask=box(0.51, 0.51, 0.52, 0.52), right=0.1), "covers none of the 12x8 pixels of this layer"),
        (Patch(mask=box(0, 0, 0.5, 1), right=-0.6), r"out of the picture\. Move it less far"),
        (Patch(mask=box(0, 0, 0.5, 1), branch=3), "comes from branch 3, and there are 1 branches"),
    ],
)
def test_impossible_parts_are_refused(plan: Plan, patch: Patch, message: str) -> None:
    with pytest.raises(EditError, match=message):
        applied(paste([patch], where=at_kind("rgb")), states(1), plan)
