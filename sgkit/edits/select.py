"""Which layers an edit acts at, by what holds in every architecture; and edits one after the other.

Architectures differ in how many layers they have and at which sizes: StyleGAN2 has 4, 8, 16 ... pixels, StyleGAN3
starts at 16. So a selection asks for *at least* N pixels, a share of the output, a kind, a style, or a place from
either end of the plan. One that picks no layer of a plan is refused before anything is computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sgkit.config.shapes import LAYER_GROUPS, NAMES, NUMBERS, PIXELS
from sgkit.errors import EditError, UsageError, did_you_mean
from sgkit.model import Edit, FeatureEdit, LayerSpec, Plan, State, bound


@dataclass(frozen=True)
class Selection:
    """Some layers of any plan."""

    name: str
    """Completes "the layers ...": ``that close 8 pixels``."""
    pick: Callable[[Plan], Collection[LayerSpec]]
    """The layers of a plan."""

    def layers(self, plan: Plan) -> frozenset[int]:
        """Indices of the picked layers.

        Raises:
            EditError: there are none.
        """
        picked = frozenset(spec.index for spec in self.pick(plan))
        if not picked:
            names = ", ".join(f"{spec.name} ({spec.pixels} px)" for spec in plan)
            raise EditError(
                f"The edit would act at no layer: this network has no layers {self.name}. Its layers are: {names}."
            )
        return picked

    def styles(self, plan: Plan) -> tuple[int, ...]:
        """Numbers of the w of w+ that drive the picked layers, rising.

        Raises:
            EditError: there are none.
        """
        picked = self.layers(plan)
        return tuple(sorted({s.style_index for s in plan if s.index in picked and s.style_index is not None}))


Where = Selection | Callable[[LayerSpec], bool]
"""A selection, or a function that says of each layer whether it is picked."""


def matching(predicate: Callable[[LayerSpec], bool], name: str = "of which the function is true") -> Selection:
    """Every layer of which ``predicate`` is true."""
    return Selection(name, lambda plan: [spec for spec in plan if predicate(spec)])


everywhere = matching(lambda spec: True, "at all")  # noqa: ARG005
"""Every layer."""


def at_kind(*kinds: str) -> Selection:
    """Layers of these kinds: ``input``, ``conv``, ``rgb``."""
    return matching(lambda spec: spec.kind in kinds, f"of kind {' or '.join(kinds)}")


def at_index(*indices: int) -> Selection:
    """Layers by their place in the plan: 0 is the first, -1 the last."""
    name = f"at {', '.join(map(str, indices))} in the plan"
    return Selection(name, lambda plan: [plan[i] for i in indices if -len(plan) <= i < len(plan)])


def at_styles(first: int, last: int | None = None) -> Selection:
    """Layers that a w of w+ from number ``first`` to ``last`` drives, both counted; ``None``: to the end."""
    name = f"with styles {first} to {'the last' if last is None else last}"
    return matching(lambda s: s.style_index is not None and first <= s.style_index <= (last or s.style_index), name)


def closing(pixels: int | None = None, *, share: float | None = None) -> Selection:
    """The last layer of the first resolution with at least this many pixels: where geometry may change.

    Args:
        pixels: along the shorter side of the picture; or
        share: of the output's pixels along a side: 1/8, say.
    """

    def pick(plan: Plan) -> list[LayerSpec]:
        level = _level(plan, _least(plan, pixels, share))
        return [spec for spec in plan if spec.closes_resolution and spec.pixels == level]

    least = f"{pixels} pixels" if share is None else f"{share:g} of the output"
    return Selection(f"that close a resolution of {least} or more", pick)


def between(lowest: int, highest: int) -> Selection:
    """Layers from the first resolution of at least ``lowest`` pixels to the first of at least ``highest``."""

    def pick(plan: Plan) -> list[LayerSpec]:
        last = _level(plan, highest) or plan[-1].pixels
        return [spec for spec in plan if lowest <= spec.pixels <= last]

    return Selection(f"from {lowest} to {highest} pixels", pick)


def from_pixels(pixels: int) -> Selection:
    """Layers of at least this many pixels."""
    return matching(lambda spec: spec.pixels >= pixels, f"from {pixels} pixels on")


def to_pixels(pixels: int) -> Selection:
    """Layers up to the first resolution of at least this many pixels, that one included."""
    return Selection(f"up to {pixels} pixels", between(0, pixels).pick)


def parse_layers(text: str, plan: Plan) -> Selection:
    """The layers that a user names: ``all``, ``coarse``, ``middle``, ``fine``, ``pose``, ``4-7,9``, ``to 32px``.

    Numbers and groups are styles of w+, as a plan's ``style_index`` counts them; ``from 64px``, ``to 32px`` and ``at
    16px`` (where that resolution closes) are pixels along the shorter side. Names of layers are allowed, too.

    Raises:
        UsageError: ``text`` is none of these, or the plan has no such layers.
    """
    last = max((spec.style_index for spec in plan if spec.style_index is not None), default=0)
    groups = [name for name, (first, _) in LAYER_GROUPS.items() if first <= last]
    allowed = f"Allowed: {', '.join(groups)}, numbers from 0 to {last} such as 0-3,5, 'to 32px', 'from 64px', "
    allowed += f"'at 16px', and names from {plan[0].name} to {plan[-1].name}."
    word = text.strip().lower()
    if word in LAYER_GROUPS:
        first, stop = LAYER_GROUPS[word]
        found = everywhere if word == "all" else at_styles(first, None if stop is None else stop - 1)
    elif match := re.fullmatch(PIXELS, word):
        found = {"to": to_pixels, "from": from_pixels, "at": closing}[match[1]](int(match[2]))
    elif re.fullmatch(NUMBERS, word):
        ends = [[int(end) for end in part.split("-")] for part in word.split(",")]
        numbers = {number for end in ends for number in range(end[0], end[-1] + 1)}
        wrong = sorted(number for number in numbers if number > last)
        if wrong or not numbers:
            given = f"Layer {wrong[0]} is out of range" if wrong else f"{text!r} names no layers"
            raise UsageError(f"{given}; the model has {last + 1} layers of w+. {allowed}")
        found = matching(lambda spec: spec.style_index in numbers, f"with styles {word}")
    elif re.fullmatch(NAMES, word):
        names = [name.strip() for name in word.split(",")]
        unknown = [name for name in names if all(name != spec.name for spec in plan)]
        if unknown:
            raise UsageError(
                f"The model has no layer {unknown[0]!r}. {did_you_mean(unknown[0], [s.name for s in plan])}"
            )
        found = matching(lambda spec: spec.name in names, f"called {word}")
    else:
        raise UsageError(f"Unknown layers {text!r}. {did_you_mean(text, groups)} {allowed}")
    if not found.pick(plan):
        raise UsageError(f"The model has no layers {found.name} ({text!r}). {allowed}")
    return found


@dataclass(frozen=True)
class _When:
    where: Selection
    change: FeatureEdit

    def on(self, plan: Plan) -> FeatureEdit:
        """The edit for the layers of ``plan``."""
        picked = self.where.layers(plan)
        return lambda spec, states: self.change(spec, states) if spec.index in picked else states


@dataclass(frozen=True)
class _InTurn:
    edits: Sequence[Edit]

    def on(self, plan: Plan) -> FeatureEdit:
        """The edits for the layers of ``plan``."""
        acts = [bound(edit, plan) for edit in self.edits]

        def composed(spec: LayerSpec, states: list[State]) -> list[State]:
            for act in acts:
                states = act(spec, states)
            return states

        return composed


def when(where: Where, change: FeatureEdit) -> Edit:
    """The edit that applies ``change`` to the states of all branches after the layers that ``where`` picks."""
    return _When(where if isinstance(where, Selection) else matching(where), change)


def compose(*edits: Edit) -> Edit:
    """The edits in turn, after every layer."""
    return _InTurn(edits)


def _least(plan: Plan, pixels: int | None, share: float | None) -> float:
    if (pixels is None) == (share is None):
        raise UsageError("Give closing() a number of pixels, or a share of the output such as share=1/8.")
    return pixels if pixels is not None else (share or 0) * plan[-1].pixels


def _level(plan: Plan, least: float) -> int | None:
    """The smallest resolution of a plan with at least ``least`` pixels; ``None``: it has none."""
    return min((spec.pixels for spec in plan if spec.pixels >= least), default=None)
