from __future__ import annotations

import pytest
import torch

from sgkit.edits import (
    at_kind,
    at_resolution,
    blend,
    box,
    closing,
    constant,
    everywhere,
    interpolate,
    ramp,
    swap,
    tile,
    transfer,
    weave,
)
from sgkit.errors import EditError
from sgkit.model import Branch, FeatureEdit, Model, State, walk


def plain(branch: Branch) -> torch.Tensor:
    return walk([branch])[0].image


@pytest.mark.parametrize("weight", [0, 1])
def test_blending_wholly_is_the_plain_image_bit_for_bit(pair: list[Branch], weight: int) -> None:
    for state in walk(pair, edit=blend(constant(weight))):
        assert torch.equal(state.image, plain(pair[weight]))


@pytest.mark.parametrize(
    "edit", [blend(ramp()), transfer(box(0, 0, 0.5, 1)), swap(box(0, 0, 0.5, 1), where=closing(8))]
)
def test_resumed_walks_equal_the_straight_one_at_every_layer(pair: list[Branch], edit: FeatureEdit) -> None:
    straight = [state.image for state in walk(pair, edit=edit)]
    for cut in range(1, len(pair[0].network.plan)):
        states = walk(pair, edit=edit, stop=cut)
        resumed = walk(pair, edit=edit, states=states, start=cut)
        assert all(torch.equal(one.image, other) for one, other in zip(resumed, straight, strict=True))


def test_blended_branches_share_one_state(pair: list[Branch]) -> None:
    one, other = walk(pair, edit=blend(constant(0.5)))
    assert one is other
    assert not torch.equal(one.image, plain(pair[0]))


def test_a_blend_is_the_weighted_sum_of_what_was_just_written(pair: list[Branch]) -> None:
    kept: list[State] = []
    walk(pair, edit=lambda spec, states: kept.extend(states) or states, stop=2)
    mixed = walk(pair, edit=blend(ramp(), where=at_kind("conv")), stop=2)[0]
    weights = ramp()((4, 4))
    torch.testing.assert_close(mixed.features, kept[2].features * (1 - weights) + kept[3].features * weights)


def test_everything_that_a_branch_carries_is_mixed(model: Model, pair: list[Branch]) -> None:
    """In a residual block the open shortcut too, or the blend would tear apart when the block closes."""
    stop = next(spec.index for spec in model.generator.synthesis.plan if spec.name == "b8_conv1")
    mixed = walk(pair, edit=blend(constant(0.25)), stop=stop)[0]
    has_shortcut = model.config.synthesis.architecture == "resnet"
    assert (mixed.shortcut is not None) == has_shortcut
    assert (mixed.rgb is not None) == (model.config.synthesis.architecture == "skip")


def test_transfer_changes_the_first_branch_only(pair: list[Branch]) -> None:
    target, source = walk(pair, edit=transfer(constant(1)))
    assert torch.equal(target.image, plain(pair[1]))
    assert torch.equal(source.image, plain(pair[1]))
    target, source = walk(pair, edit=transfer(box(0, 0, 0.5, 1), where=at_resolution(8)))
    assert torch.equal(source.image, plain(pair[1]))
    assert not torch.equal(target.image, plain(pair[0]))


def test_swapping_everything_late_exchanges_the_images(pair: list[Branch]) -> None:
    one, other = walk(pair, edit=swap(constant(1), where=closing(16)))
    assert torch.equal(one.image, plain(pair[1]))
    assert torch.equal(other.image, plain(pair[0]))


def test_swapping_a_box_at_the_end_pastes_it_both_ways(pair: list[Branch]) -> None:
    one, other = (state.image for state in walk(pair, edit=swap(box(0, 0, 0.5, 1), where=closing(16))))
    first, second = plain(pair[0]), plain(pair[1])
    assert torch.equal(one, torch.cat([second[..., :8], first[..., 8:]], dim=3))
    assert torch.equal(other, torch.cat([first[..., :8], second[..., 8:]], dim=3))


def test_three_branches_are_woven_by_their_weights(model: Model, pair: list[Branch]) -> None:
    three = [*pair, pair[0]]
    for chosen in range(3):
        maps = [torch.full((1, 1), float(index == chosen)) for index in range(3)]
        states = walk(three, edit=weave(lambda size, maps=maps: maps, where=everywhere))  # type: ignore[misc]
        assert torch.equal(states[0].image, plain(three[chosen]))


def test_interpolation_changes_from_one_network_to_the_other_between_layers(pair: list[Branch]) -> None:
    edit = interpolate(lambda spec: float(spec.resolution >= 8))
    mixed = walk(pair, edit=edit)[0].image
    # From 8 px on all is the second branch's, and at 4 px nothing was mixed, so it is the second's from the start.
    assert torch.equal(mixed, plain(pair[1]))
    half = walk(pair, edit=interpolate(lambda spec: 0.5 if spec.resolution == 4 else 0.0))
    assert not torch.equal(half[0].image, half[1].image)


def test_weights_that_do_not_fit_are_refused(pair: list[Branch]) -> None:
    with pytest.raises(EditError, match="3 weight maps were given for 2 branches"):
        walk(pair, edit=weave(lambda size: [torch.ones(1, 1)] * 3))
    widen = tile(8, where=at_kind("input"))

    def uneven(spec: object, states: list[State]) -> list[State]:
        return [widen(spec, states)[0], states[1]]  # type: ignore[arg-type]

    from sgkit.edits import compose

    with pytest.raises(EditError, match="8x4, 4x4"):
        walk(pair, edit=compose(uneven, blend(ramp(), where=at_kind("conv"))))
