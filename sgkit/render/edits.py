"""What a scene does between layers: shapes as masks, then changes of the canvas."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sgkit import edits
from sgkit.model import Canvas, Edit, LayerSpec, Plan, State
from sgkit.render.geometry import EditContext
from sgkit.render.scene import Masked, Masks, Scene
from sgkit.render.shapes import ReadMask, mask_of


def edit_of(scene: Scene, plan: Plan, read: ReadMask) -> Edit | None:
    """Everything that ``scene`` does between layers; ``None``: nothing.

    Args:
        scene: the picture.
        plan: the layers of its models.
        read: reads masks from image files.

    Raises:
        UsageError: a shape or a place is not one, or the plan has no such layers.
        SceneError: a mask's image file is not there, or was changed.
    """
    found: list[Edit] = []
    if isinstance(scene.arrangement, Masks):
        found.append(_masks(scene.arrangement, plan, read))
    context = EditContext(mask=lambda shape: mask_of(shape, read), branch=scene.main().index)
    found += [record.edit(context) for record in scene.edits]
    return edits.compose(*found) if found else None


def _masks(masks: Masks, plan: Plan, read: ReadMask) -> Edit:
    names = masks.subjects
    covers = [
        (names.index(one.subject), _weighted(mask_of(one.shape, read), one), _where(one.layers or masks.layers, plan))
        for one in masks.over
    ]

    def change(spec: LayerSpec, states: list[State]) -> list[State]:
        active = [(subject, mask) for subject, mask, layers in covers if spec.index in layers]
        shown = states[: len(names)]  # the others are those that edits take parts from
        mixed = edits.weighted_sum(shown, lambda canvas: _weights(active, len(shown), canvas))
        return [mixed] * len(shown) + states[len(names) :] if masks.mode == "blend" else [mixed, *states[1:]]

    every = frozenset[int]().union(*(layers for _, _, layers in covers))
    return edits.when(lambda spec: spec.index in every, change)


def _weighted(mask: edits.Mask, over: Masked) -> edits.Mask:
    return mask if over.weight == 1 else lambda canvas: mask(canvas) * over.weight


def _where(layers: str, plan: Plan) -> frozenset[int]:
    return edits.parse_layers(layers, plan).layers(plan)


def _weights(covers: Sequence[tuple[int, edits.Mask]], count: int, canvas: Canvas) -> Sequence[Tensor]:
    """Weights of all subjects: each shape covers what is under it, the last one is on top."""
    found: list[Tensor | None] = [None] * count
    rest: Tensor | None = None
    for subject, mask in reversed(covers):
        cover = mask(canvas)
        share = cover if rest is None else cover * rest
        rest = 1 - cover if rest is None else rest * (1 - cover)
        before = found[subject]
        found[subject] = share if before is None else before + share
    assert rest is not None, "an edit acts where a shape is"
    under = found[0]
    found[0] = rest if under is None else rest + under
    return [rest.new_zeros(1, 1) if share is None else share for share in found]
