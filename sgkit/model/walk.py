"""The walk over a plan: the only loop over layers in the project. Any operation of the family is an edit in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from sgkit.errors import EditError
from sgkit.model.canvas import Canvas
from sgkit.model.noise import NoiseSource, StoredNoise
from sgkit.model.spec import LayerSpec, Plan, plan_difference

StyleMap = Callable[[Canvas], Tensor]
"""Styles that differ from place to place: the canvas that a layer reads -> [N, C, h, w], stretched over it."""

Styles = Mapping[str, Tensor | StyleMap]
"""The s space: layer name -> what its affine layer gives, [N, C], or a map of styles over the canvas."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What a network carries from layer to layer."""

    x: Tensor | None = None
    """Features [N, C, H, W]; after D's head its output [N, F]."""
    rgb: Tensor | None = None
    """G: the image so far. D: the image still to be read."""
    shortcut: Tensor | None = None
    """Within a residual block: what its last layer will add."""
    canvas: Canvas | None = None
    """G: where the features' pixels are in the picture."""

    def map(self, function: Callable[[Tensor], Tensor]) -> State:
        """The state with ``function`` applied to every tensor in it: geometry moves all of them or tears the image."""
        x, rgb, shortcut = (t if t is None else function(t) for t in (self.x, self.rgb, self.shortcut))
        return State(x=x, rgb=rgb, shortcut=shortcut, canvas=self.canvas)

    def wrote(self, x: Tensor | None, *, rgb: Tensor | None = None, shortcut: Tensor | None = None) -> State:
        """The state after a layer that was given this one and wrote ``x``, or an image."""
        return State(x=x, rgb=self.rgb if rgb is None else rgb, shortcut=shortcut, canvas=self.canvas)

    @property
    def features(self) -> Tensor:
        """``x``, known."""
        assert self.x is not None, "no layer has written features yet"
        return self.x

    @property
    def image(self) -> Tensor:
        """``rgb``, known."""
        assert self.rgb is not None, "no layer has written an image yet"
        return self.rgb

    @property
    def place(self) -> Canvas:
        """``canvas``, known.

        Raises:
            EditError: a discriminator's states have none.
        """
        if self.canvas is None:
            raise EditError("A discriminator's layers have no canvas; masks and geometry edits need a generator.")
        return self.canvas


class Network(Protocol):
    """What can be walked: a plan, and one step for each of its layers."""

    @property
    def plan(self) -> Plan:
        """The layers in order."""

    def step(self, spec: LayerSpec, styles: Styles, state: State, noise: NoiseSource) -> State:
        """The state after the layer ``spec``, given the state before it."""


@dataclass(frozen=True)
class Branch:
    """A network with the styles that drive it; a walk carries one state for each branch."""

    network: Network
    styles: Styles = field(default_factory=dict)
    noise: NoiseSource = field(default_factory=StoredNoise)


FeatureEdit = Callable[[LayerSpec, list[State]], list[State]]
"""Given a layer and the states it just wrote, the states to continue with."""


class PlannedEdit(Protocol):
    """An edit that knows from a plan where it acts."""

    def on(self, plan: Plan) -> FeatureEdit:
        """The edit for the layers of ``plan``.

        Raises:
            EditError: none of them is one of its own.
        """


Edit = FeatureEdit | PlannedEdit


def keep(spec: LayerSpec, states: list[State]) -> list[State]:  # noqa: ARG001
    """The edit that changes nothing."""
    return states


def bound(edit: Edit, plan: Plan) -> FeatureEdit:
    """``edit`` for the layers of ``plan``; a plain function as it is.

    Raises:
        EditError: the edit acts at no layer of the plan.
    """
    return edit if callable(edit) else edit.on(plan)


def steps(
    branches: Sequence[Branch],
    plan: Plan | None = None,
    edit: Edit = keep,
    *,
    canvas: Canvas | None = None,
    states: Sequence[State] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[tuple[LayerSpec, list[State]]]:
    """Each layer of ``plan[start:stop]`` with the states after it, edited: for reading features on the way.

    Args:
        branches: one or more; their networks' plans must be equal.
        plan: the layers to run; the first network's own plan when left out.
        edit: called after every layer with the states of all branches.
        canvas: what to draw, in cells (pixels of the first layers); left out: the model's own picture.
        states: where to resume, one for each branch: the states that a walk with ``stop=start`` returned.
        start: index of the first layer to run.
        stop: index of the layer to stop before; ``None``: run to the end.

    Raises:
        EditError: no branch was given, the branches' plans differ (the first differing layer is named), a branch lacks
            styles, the states do not match the branches, or the edit acts at no layer of the plan.
    """
    if not branches:
        raise EditError("A walk needs at least one branch; none was given.")
    plan = branches[0].network.plan if plan is None else plan
    _check_branches(branches, plan)
    act = bound(edit, plan)
    current = _first_states(branches, plan, canvas, states, start)
    for spec in plan[start:stop]:
        written = [
            branch.network.step(spec, branch.styles, state, branch.noise)
            for branch, state in zip(branches, current, strict=True)
        ]
        current = act(spec, written)
        if not isinstance(current, list) or len(current) != len(written):
            got = (
                f"{len(current)} of them" if isinstance(current, list) else f"a value of type {type(current).__name__}"
            )
            raise EditError(
                f"The edit must return a list of {len(written)} states, one for each branch; "
                f"at layer {spec.name!r} it returned {got}."
            )
        if current is not written:  # an edit that builds states by hand may leave the canvas as it was
            current = [
                replace(new, canvas=old.canvas) if new.canvas is None else new
                for new, old in zip(current, written, strict=True)
            ]
        yield spec, current


def _first_states(
    branches: Sequence[Branch], plan: Plan, canvas: Canvas | None, states: Sequence[State] | None, start: int
) -> list[State]:
    """The states before layer ``start``; those without a canvas are on ``canvas``, or on the model's own."""
    if not 0 <= start <= len(plan):
        raise EditError(f"A walk cannot start at layer {start} of a plan of {len(plan)} layers.")
    if states is None and start > 0:
        raise EditError(f"A walk from layer {start} resumes; give the states that a walk with stop={start} returned.")
    if states is not None and len(states) != len(branches):
        raise EditError(f"A walk of {len(branches)} branches needs as many states; {len(states)} were given.")
    if states is not None and canvas is not None:
        raise EditError("A walk that resumes continues on the canvas of its states: leave canvas out.")
    given = [State()] * len(branches) if states is None else states
    if all(state.canvas is not None for state in given):
        return list(given)
    canvas = Canvas.canonical(plan) if canvas is None else canvas
    if canvas is not None:
        canvas = functools.reduce(Canvas.after, plan[:start], canvas)
    return [replace(state, canvas=canvas) if state.canvas is None else state for state in given]


def _check_branches(branches: Sequence[Branch], plan: Plan) -> None:
    for branch in branches:
        difference = plan_difference(branches[0].network.plan, branch.network.plan)
        if difference:
            raise EditError(f"The branches of a walk must have equal plans; these differ at {difference}.")
        unstyled = [spec.name for spec in plan if spec.style_index is not None and spec.name not in branch.styles]
        if unstyled:
            raise EditError(
                f"A branch has no style for layer {unstyled[0]!r}; give it all that the network's styles(ws) returns."
            )


def walk(
    branches: Sequence[Branch],
    plan: Plan | None = None,
    edit: Edit = keep,
    *,
    canvas: Canvas | None = None,
    states: Sequence[State] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> list[State]:
    """The states after the last layer run, one for each branch. Arguments and errors: :func:`steps`."""
    last = [State() for _ in branches] if states is None else list(states)
    for _, written in steps(branches, plan, edit, canvas=canvas, states=states, start=start, stop=stop):
        last = written
    return last
