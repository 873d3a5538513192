"""What a scene does between layers: shapes as masks, then changes of the canvas."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sgkit import edits
from sgkit.errors import UsageError, did_you_mean
from sgkit.model import Canvas, Edit, Plan
from sgkit.render.scene import Masks, Scene

SHAPES = {"box": (4, 5), "ramp": (1, 3), "all": (1, 1)}
"""Shape -> how many values it has, at least and at most."""


def edit_of(scene: Scene, plan: Plan) -> Edit | None:
    """Everything that ``scene`` does between layers; ``None``: nothing.

    Raises:
        UsageError: a shape or a place is not one, or the plan has no such layers.
    """
    found: list[Edit] = []
    if isinstance(scene.arrangement, Masks):
        where = edits.parse_layers(scene.arrangement.layers, plan)
        found.append(edits.weave(_weights(scene.arrangement), where=where))
    found += [record.edit() for record in scene.edits]
    return edits.compose(*found) if found else None


def _weights(masks: Masks) -> edits.Weights:
    """Weights of all branches: each shape covers what is under it."""
    shapes = [shape_of(one.shape) for one in masks.over]

    def weights(canvas: Canvas) -> Sequence[Tensor]:
        covered = [shape(canvas) for shape in shapes]
        found: list[Tensor] = []
        rest: Tensor | None = None
        for cover in reversed(covered):  # the last is on top
            found.insert(0, cover if rest is None else cover * rest)
            rest = 1 - cover if rest is None else rest * (1 - cover)
        assert rest is not None
        return [rest, *found]

    return weights


def shape_of(text: str) -> edits.Mask:
    """The mask that ``box:0.2,0.3,0.8,0.6``, ``box:...,softness``, ``ramp:x``, ``ramp:y,0.2,0.8`` or ``all:0.5`` means.

    Raises:
        UsageError: the text is not a shape.
    """
    kind, _, rest = text.partition(":")
    if kind not in SHAPES:
        raise UsageError(f"Unknown shape {text!r}. {did_you_mean(kind, SHAPES)}")
    words = [word.strip() for word in rest.split(",")]
    axis = words.pop(0) if kind == "ramp" else ""
    least, most = SHAPES[kind]
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if axis not in ("", "x", "y") or not least <= len(words) + bool(axis) <= most or len(numbers) != len(words):
        example = {"box": "box:0.2,0.3,0.8,0.6", "ramp": "ramp:x,0.2,0.8", "all": "all:0.5"}[kind]
        raise UsageError(f"Not a shape: {text!r}. Write it like {example}, in fractions of the picture.")
    if kind == "box":
        left, top, right, bottom, *soft = numbers
        return edits.box(left, top, right, bottom, softness=soft[0] if soft else 0.0)
    if kind == "all":
        return edits.constant(numbers[0])
    return edits.ramp(*numbers, axis="y" if axis == "y" else "x", smooth=True)
