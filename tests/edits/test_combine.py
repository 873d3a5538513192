from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sgkit.edits import (
    at_index,
    at_kind,
    blend,
    box,
    closing,
    compose,
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
from sgkit.model import Branch, Canvas, Edit, LayerSpec, Model, NoNoise, State, bound, walk


@pytest.fixture(params=["skip", "resnet", "orig"])
def model(request: pytest.FixtureRequest, tiny_model: Callable[..., Model]) -> Model:
    return tiny_model(synthesis__architecture=request.param)


@pytest.fixture
def pair(model: Model, branches_of: Callable[..., list[Branch]]) -> list[Branch]:
    """Two branches of one network."""
    return branches_of(model)


def plain(branch: Branch) -> torch.Tensor:
    return walk([branch])[0].image


@pytest.mark.parametrize("weight", [0, 1])
def test_blending_wholly_is_the_plain_image_bit_for_bit(pair: list[Branch], weight: int) -> None:
    for state in walk(pair, edit=blend(constant(weight))):
        assert torch.equal(state.image, plain(pair[weight]))


@pytest.mark.parametrize(
    "edit", [blend(ramp()), transfer(box(0, 0, 0.5, 1)), swap(box(0, 0, 0.5, 1), where=closing(8))]
)
def test_resumed_walks_equal_the_straight_one_at_every_layer(pair: list[Branch], edit: Edit) -> None:
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
    weights = ramp()(Canvas.of_size((4, 4)))
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
    target, source = walk(pair, edit=transfer(box(0, 0, 0.5, 1), where=closing(8)))
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
        states = walk(three, edit=weave(lambda canvas, maps=maps: maps, where=everywhere))  # type: ignore[misc]
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
        walk(pair, edit=weave(lambda canvas: [torch.ones(1, 1)] * 3))
    widen = bound(tile(8, where=at_kind("input")), pair[0].network.plan)

    def uneven(spec: LayerSpec, states: list[State]) -> list[State]:
        return [widen(spec, states)[0], states[1]]

    with pytest.raises(EditError, match="8x4, 4x4"):
        walk(pair, edit=compose(uneven, blend(ramp(), where=at_kind("conv"))))


def flat_branch(model: Model) -> Branch:
    """A branch whose convolutions see one pixel, without noise, and whose AdaIN keeps mean and deviation."""
    network = model.generator.synthesis.double()
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and parameter.ndim == 4:
            middle = parameter.shape[2] // 2
            kept = parameter[..., middle, middle].clone()
            parameter.zero_()[..., middle, middle] = kept
    styles = network.styles(model.map(model.sample_z([1])).double())
    if model.config.synthesis.layer == "adain":
        still = [torch.zeros(1, 8), torch.ones(1, 8)]
        styles = {name: torch.cat([s, *(t[:, : s.shape[1] // 2] for t in still)], dim=1) for name, s in styles.items()}
    return Branch(network, styles, NoNoise())


def test_masks_land_on_the_same_pixels_in_every_architecture(each_model: Model) -> None:
    """Half of a flat picture is tinted at one layer: the edge is where the mask says, to half a pixel of that layer.

    The tint is so faint that all later layers are linear in it, so they keep the edge where it is. Margins (StyleGAN3)
    do not count as picture.
    """
    branch, canvas, edge = flat_branch(each_model), Canvas.of_size((4, 16)), 0.6
    for spec in branch.network.plan:
        tint = torch.linspace(-1e-6, 2e-6, spec.out_channels, dtype=torch.float64)[None, :, None, None]

        def tinted(
            layer: LayerSpec, states: list[State], spec: LayerSpec = spec, tint: torch.Tensor = tint
        ) -> list[State]:
            if layer is not spec:
                return states
            plain = states[0].map(torch.ones_like)
            return [plain, replace(plain, x=plain.features + tint), plain]

        if spec.kind == "rgb":
            continue
        mask = transfer(ramp(edge, edge), where=at_index(spec.index))

        def edit(layer: LayerSpec, states: list[State], first: Edit = tinted, then: Edit = mask) -> list[State]:
            *pair, plain = bound(first, branch.network.plan)(layer, states)
            return [*bound(then, branch.network.plan)(layer, pair), plain]

        half, full, plain = (state.image[0, :, 8] for state in walk([branch] * 3, canvas=canvas, edit=edit))
        half, full = half - plain, full - plain
        share = (half * full).sum(dim=0) / full.square().sum(dim=0)
        after = int(torch.nonzero(share > 0.5)[0])
        found = after + 0.5 - float((share[after] - 0.5) / (share[after] - share[after - 1]))
        assert abs(found - edge * 64) <= 0.5 * 16 / spec.pixels + 0.01, spec.name
