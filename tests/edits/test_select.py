from __future__ import annotations

import pytest

from sgkit.edits import at_kind, at_resolution, between, closing, compose, everywhere, when
from sgkit.errors import EditError
from sgkit.model import Branch, Model, State, walk


def names(model: Model, selection: object) -> list[str]:
    return [spec.name for spec in model.generator.synthesis.plan if selection(spec)]  # type: ignore[operator]


def test_selections_pick_by_what_the_layer_is(model: Model) -> None:
    plan = model.generator.synthesis.plan
    assert names(model, everywhere) == [spec.name for spec in plan]
    assert names(model, at_kind("input")) == ["b4_input"]
    assert set(names(model, at_resolution(8))) >= {"b8_conv0", "b8_conv1"}
    assert {spec.resolution for spec in plan if between(8, 16)(spec)} == {8, 16}
    assert names(model, closing(8)) == ["b8_rgb" if model.config.synthesis.architecture == "skip" else "b8_conv1"]


def test_an_edit_that_does_nothing_returns_the_very_list(model: Model) -> None:
    spec, states = model.generator.synthesis.plan[0], [State()]
    edit = compose(when(at_resolution(64), lambda states: [State()]), when(at_kind("rgb"), lambda states: []))
    assert edit(spec, states) is states


def test_edits_run_in_the_order_given(model: Model) -> None:
    spec, seen = model.generator.synthesis.plan[0], []

    def noting(name: str) -> object:
        return when(everywhere, lambda states: (seen.append(name), states)[1])

    compose(noting("first"), noting("second"))(spec, [State()])  # type: ignore[arg-type]
    assert seen == ["first", "second"]


def test_a_walk_tells_when_no_layer_was_selected(pair: list[Branch]) -> None:
    with pytest.raises(EditError, match="fired at no layer"):
        walk(pair, edit=when(at_resolution(1024), lambda states: [State() for _ in states]))
