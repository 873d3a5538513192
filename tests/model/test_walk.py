from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sgkit.config.presets import PRESETS
from sgkit.errors import EditError
from sgkit.model import (
    Branch,
    Canvas,
    Discriminator,
    FeatureEdit,
    LayerSpec,
    Model,
    Plan,
    SeededNoise,
    State,
    steps,
    walk,
)

GRID = [f"stylegan2-e-g{g}-d{d}" for g in ("orig", "skip", "resnet") for d in ("orig", "skip", "resnet")]
OTHERS = ["progan", "stylegan1-c", "stylegan1-f", "self-modulated", "stylegan3-t", "stylegan3-r"]


def branch_of(model: Model, seeds: tuple[int, ...] = (0, 1), **options: Any) -> Branch:
    label = model.one_hot(1, count=len(seeds)) if model.config.label_dim else None
    return Branch(model.generator.synthesis, model.styles(model.map(model.sample_z(seeds), label)), **options)


def discriminator_start(network: Discriminator) -> State:
    images = torch.randn(4, network.config.image_channels, *network.config.image_size)
    return State(rgb=images.contiguous(memory_format=torch.channels_last))


def same(one: State, other: State) -> bool:
    """Bit for bit, everything that a state holds."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("x", "rgb", "shortcut")]
    return all((a is None) == (b is None) and (a is None or torch.equal(a, b)) for a, b in pairs)


def test_the_grid_is_all_presets_of_config_e() -> None:
    assert set(GRID) == {name for name in PRESETS if name.startswith("stylegan2-e-")}


# --------------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize(("size", "channels"), [((16, 16), 3), ((16, 28), 1), ((24, 16), 4)])
@pytest.mark.parametrize("name", GRID)
def test_a_walk_resumed_at_any_cut_is_the_straight_walk(
    tiny_model, name: str, size: tuple[int, int], channels: int
) -> None:
    model = tiny_model(name, size=size, channels=channels)
    discriminator = model.discriminator
    for branch, start in (
        (branch_of(model), State()),
        (Branch(discriminator), discriminator_start(discriminator)),
    ):
        (straight,) = walk([branch], states=[start])
        for cut in range(1, len(branch.network.plan)):
            before = walk([branch], states=[start], stop=cut)
            (after,) = walk([branch], states=before, start=cut)
            assert same(after, straight), branch.network.plan[cut].name


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_resume_too(tiny_model, name: str) -> None:
    model = tiny_model(name, size=(16, 24) if not name.startswith("stylegan3") else (16, 16), label_dim=2)
    branch = branch_of(model)
    (straight,) = walk([branch])
    for cut in range(1, len(branch.network.plan)):
        assert same(walk([branch], states=walk([branch], stop=cut), start=cut)[0], straight)


def test_a_walk_in_three_pieces_with_noise_of_a_seed(tiny_model) -> None:
    branch = branch_of(tiny_model(), noise=SeededNoise((5, 6)))
    states = walk([branch], stop=3)
    states = walk([branch], states=states, start=3, stop=5)
    states = walk([branch], states=states, start=5)
    assert same(states[0], walk([branch])[0])


def test_an_empty_part_gives_the_states_back(tiny_model) -> None:
    branch = branch_of(tiny_model())
    states = walk([branch], stop=4)
    assert same(walk([branch], states=states, start=4, stop=4)[0], states[0])


def test_the_plan_can_be_given(tiny_model) -> None:
    branch = branch_of(tiny_model())
    plan = branch.network.plan
    assert same(walk([branch], plan)[0], walk([branch])[0])
    assert same(walk([branch], plan[:4])[0], walk([branch], stop=4)[0])


# ------------------------------------------------------------------------------------------------ steps


def test_steps_yield_every_layer_with_the_states_behind_it(tiny_model) -> None:
    branches = [branch_of(tiny_model()), branch_of(tiny_model(), (5, 6))]
    plan = branches[0].network.plan
    seen = list(steps(branches))
    assert [spec for spec, _ in seen] == list(plan)
    for cut, (_, states) in enumerate(seen, start=1):
        for state, expected in zip(states, walk(branches, stop=cut), strict=True):
            assert same(state, expected)


def test_features_have_the_shapes_that_the_plan_tells(tiny_model) -> None:
    for name in ("stylegan2-f", "stylegan1-f", "progan", "stylegan3-t", "self-modulated"):
        model = tiny_model(name)
        for spec, (state,) in steps([branch_of(model)]):
            if spec.kind == "rgb":
                assert state.image.shape == (2, 3, *spec.size)
            else:
                assert state.features.shape[1:] == (spec.out_channels, *spec.size), spec.name


def test_branches_do_not_touch_each_other(tiny_model) -> None:
    one, other = branch_of(tiny_model()), branch_of(tiny_model(), (5, 6))
    together = walk([one, other])
    assert same(together[0], walk([one])[0])
    assert same(together[1], walk([other])[0])


# ------------------------------------------------------------------------------------------------ edits


def half_way(layer: str, amount: float):
    """Mixes both branches at one layer: the first gets the mix."""

    def edit(spec: LayerSpec, states: list[State]) -> list[State]:
        if spec.name != layer:
            return states
        one, other = states
        return [State(x=one.features.lerp(other.features, amount), rgb=one.rgb, shortcut=one.shortcut), other]

    return edit


def test_an_edit_that_blends(tiny_model) -> None:
    model = tiny_model()
    branches = [branch_of(model, (0,)), branch_of(model, (1,))]
    plain = walk(branches)
    mixed = walk(branches, edit=half_way("b8_conv1", 0.5))
    assert not torch.allclose(mixed[0].image, plain[0].image)
    assert same(mixed[1], plain[1])
    before, other = walk(branches, stop=5)  # behind b8_conv1
    by_hand = State(x=(before.features + other.features) / 2, rgb=before.rgb)
    torch.testing.assert_close(mixed[0].image, walk(branches[:1], states=[by_hand], start=5)[0].image)


def test_blending_fully_at_the_last_layers_gives_the_other_image(tiny_model) -> None:
    model = tiny_model(synthesis__architecture="orig")
    branches = [branch_of(model, (0,)), branch_of(model, (1,))]
    swapped = walk(branches, edit=lambda spec, states: states[::-1] if spec.kind == "rgb" else states)
    assert same(swapped[0], walk(branches)[1])


def test_an_edit_that_changes_sizes_must_change_the_canvas(tiny_model) -> None:
    model = tiny_model()

    def widen(spec: LayerSpec, states: list[State]) -> list[State]:
        if not (spec.closes_resolution and spec.resolution == 8):
            return states
        return [state.map(lambda t: torch.cat([t, t], dim=3)) for state in states]

    with pytest.raises(EditError, match=r"tensor of 32x16 \(WxH\) is on a canvas of 16x16\. .* sgkit\.edits\.move"):
        walk([branch_of(model)], edit=widen)


class Bound:
    """An edit that knows where it acts."""

    def __init__(self, index: int, change: Callable[[State], State]) -> None:
        self.index, self.change = index, change

    def on(self, plan: Plan) -> FeatureEdit:
        if self.index >= len(plan):
            raise EditError("no such layer")
        return lambda spec, states: [self.change(s) for s in states] if spec.index == self.index else states


def test_an_edit_without_layers_is_refused_before_anything_is_computed(tiny_model, monkeypatch) -> None:
    branch = branch_of(tiny_model())
    monkeypatch.setattr(type(branch.network), "step", lambda *_: pytest.fail("computed"))
    with pytest.raises(EditError, match="no such layer"):
        walk([branch], edit=Bound(99, lambda state: state))


def test_changes_in_place_and_copies_are_edits_like_others(tiny_model) -> None:
    """What was reached is not told by the identity of states."""
    branch = branch_of(tiny_model())
    plain = walk([branch])[0].image

    def doubled_in_place(state: State) -> State:
        state.features.mul_(2)
        return state

    in_place = walk([branch], edit=Bound(3, doubled_in_place))[0].image
    assert torch.equal(in_place, walk([branch], edit=Bound(3, lambda s: replace(s, x=s.features * 2)))[0].image)
    assert not torch.equal(in_place, plain)
    assert torch.equal(walk([branch], edit=Bound(3, lambda state: replace(state)))[0].image, plain)
    assert torch.equal(walk([branch], edit=lambda spec, states: list(states))[0].image, plain)


def test_a_part_of_a_walk_may_hold_no_layer_of_an_edit(tiny_model) -> None:
    branches = [branch_of(tiny_model()), branch_of(tiny_model(), (5, 6))]
    edit = Bound(5, lambda state: replace(state, x=state.features * 2))
    states = walk(branches, edit=edit, stop=3)
    states = walk(branches, edit=edit, states=states, start=3)
    for state, expected in zip(states, walk(branches, edit=edit), strict=True):
        assert same(state, expected)


# ----------------------------------------------------------------------------------------------- errors


def test_branches_with_other_plans_are_refused(tiny_model) -> None:
    branches = [branch_of(tiny_model()), branch_of(tiny_model(synthesis__channel_max=4))]
    message = "The branches of a walk must have equal plans; these differ at layer 0 (b4_input and b4_input): "
    with pytest.raises(EditError, match=re.escape(message + "out_channels 8 and 4.")):
        walk(branches)


def test_networks_with_equal_plans_may_be_walked_together(tiny_model) -> None:
    one, other = tiny_model(), tiny_model()
    other.generator.synthesis.layer("b4_input").const.neg_()
    states = walk([branch_of(one), branch_of(other)])
    assert not torch.equal(states[0].image, states[1].image)


def test_a_resumed_walk_keeps_its_canvas(tiny_model) -> None:
    branch = branch_of(tiny_model())
    with pytest.raises(EditError, match="continues on the canvas of its states"):
        walk([branch], states=walk([branch], stop=2), start=2, canvas=Canvas.of_size((4, 8)))
    wide = walk([branch], canvas=Canvas.of_size((4, 8)), stop=2)
    assert walk([branch], states=wide, start=2)[0].image.shape[2:] == (16, 32)


def test_states_must_match_branches(tiny_model) -> None:
    branch = branch_of(tiny_model())
    with pytest.raises(EditError, match=r"A walk of 1 branches needs as many states; 2 were given\."):
        walk([branch], states=[State(), State()])


def test_a_walk_without_branches_is_refused() -> None:
    with pytest.raises(EditError, match=r"A walk needs at least one branch; none was given\."):
        walk([])


def test_a_walk_from_the_middle_needs_states(tiny_model) -> None:
    with pytest.raises(
        EditError, match=r"A walk from layer 3 resumes; give the states that a walk with stop=3 returne"
    ):
        walk([branch_of(tiny_model())], start=3)


@pytest.mark.parametrize("start", [-1, 99])
def test_a_walk_starts_within_its_plan(tiny_model, start: int) -> None:
    with pytest.raises(EditError, match=rf"A walk cannot start at layer {start} of a plan of \d+ layers\."):
        walk([branch_of(tiny_model())], start=start, states=[State()])


def test_a_branch_without_styles_is_refused(tiny_model) -> None:
    styles = branch_of(tiny_model()).styles
    network = tiny_model().generator.synthesis
    for given, missing in ((({}, "b4_conv1")), ({k: v for k, v in styles.items() if k != "b8_rgb"}, "b8_rgb")):
        with pytest.raises(EditError, match=rf"A branch has no style for layer '{missing}'; give it all that"):
            walk([Branch(network, given)])


@pytest.mark.parametrize(
    ("edit", "returned"),
    [
        (lambda spec, states: None, "a value of type NoneType"),
        (lambda spec, states: states[0], "a value of type State"),
        (lambda spec, states: states[:1], "1 of them"),
    ],
)
def test_an_edit_must_return_a_state_for_each_branch(tiny_model, edit: Any, returned: str) -> None:
    branches = [branch_of(tiny_model()), branch_of(tiny_model())]
    message = (
        f"The edit must return a list of 2 states, one for each branch; at layer 'b4_input' it returned {returned}"
    )
    with pytest.raises(EditError, match=re.escape(message)):
        walk(branches, edit=edit)


def test_a_state_maps_only_what_it_holds() -> None:
    state = State(x=torch.ones(1, 2, 2, 2), shortcut=torch.ones(1, 1, 2, 2))
    doubled = state.map(lambda t: 2 * t)
    assert doubled.rgb is None
    assert float(doubled.features.sum()) == 16
    assert doubled.shortcut is not None
    assert float(doubled.shortcut.sum()) == 8
