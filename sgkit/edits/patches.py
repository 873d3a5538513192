"""Parts of a picture copied to other places in it: single-image generation within one layer's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.edits.select import Where, when
from sgkit.edits.shapes import Mask
from sgkit.errors import EditError
from sgkit.model import Axis, Canvas, Edit, LayerSpec, State
from sgkit.model.canvas import DIMENSION


@dataclass(frozen=True, kw_only=True)
class Patch:
    """What is under ``mask`` painted somewhere else."""

    mask: Mask
    """Where it is taken from; soft edges blend it into its new surroundings."""
    right: float = 0.0
    """How far to the right it is painted, in widths of the picture; rounded to pixels of the layer."""
    down: float = 0.0
    """How far down, in heights of the picture."""
    mirror: Literal["none", "x", "y", "both"] = "none"
    """``x``: left and right exchanged, around the middle of what is under the mask."""
    branch: int = 0
    """The branch that it is taken from."""
    fill: bool = False
    """Paint what is around the mask smoothly into it instead: for the hole that a moved part leaves."""
    back: bool = False
    """Paint what is at the new place under the mask instead; with a patch that is not, the two are exchanged."""


def paste(patches: Sequence[Patch], *, where: Where, image: bool = True) -> Edit:
    """The first branch with ``patches`` painted into it, in order; all show what was there before the first one.

    As the patch swap and the single-image edits of "StyleGAN of All Trades" (Chong, Lee and Forsyth 2021, section 4):
    the layers that follow make the parts fit together.

    Args:
        patches: what is painted where.
        where: at which layers, mostly :func:`sgkit.edits.closing`.
        image: also move the image so far; otherwise it stays, and only features and shortcut are moved.
    """

    def painted(spec: LayerSpec, states: list[State]) -> list[State]:  # noqa: ARG001
        for patch in patches:
            if patch.branch >= len(states):
                raise EditError(f"A patch comes from branch {patch.branch}, and there are {len(states)} branches.")
        changed = replace(
            states[0],
            x=_painted([state.x for state in states], states[0].place, patches),
            shortcut=_painted([state.shortcut for state in states], states[0].place, patches),
        )
        if image:
            changed = replace(changed, rgb=_painted([state.rgb for state in states], states[0].place, patches))
        return [changed, *states[1:]]

    return when(where, painted)


def _painted(tensors: Sequence[Tensor | None], canvas: Canvas, patches: Sequence[Patch]) -> Tensor | None:
    first = tensors[0]
    if first is None:
        return None
    if not (canvas.x.covers_frame and canvas.y.covers_frame):
        raise EditError("Parts are moved within the whole picture; this canvas is only a window of it. Draw it whole.")
    canvas, result = canvas.of(first), first
    for patch in patches:
        source = tensors[patch.branch]
        assert source is not None, "branches have equal plans, so they write the same tensors"
        share = patch.mask(canvas).expand(canvas.size)
        if not bool((share > 0).any()):
            raise EditError(
                f"A shape covers none of the {canvas.x.length}x{canvas.y.length} pixels of this layer. Use a larger "
                "shape, or a finer resolution."
            )
        if patch.fill:
            paint, share = _continued(result, share.to(result)), share.to(result)
        else:
            paint, share = _moved(source, share.to(source), canvas, patch)
        result = result * (1 - share) + paint * share
    return result


def _moved(source: Tensor, share: Tensor, canvas: Canvas, patch: Patch) -> tuple[Tensor, Tensor]:
    """The source at its new place, and its weights there."""
    covered = share >= 0.5 * share.max()
    rows, rows_there = _sources(canvas, "y", covered.any(dim=1), patch)
    columns, columns_there = _sources(canvas, "x", covered.any(dim=0), patch)
    moved = share if patch.back else share[rows][:, columns]
    moved = moved * (rows_there[:, None] & columns_there[None, :]).to(share)
    if not bool((moved > 0).any()):
        raise EditError(
            f"A part is moved by {patch.right:g} widths and {patch.down:g} heights, which is out of the picture. "
            "Move it less far."
        )
    rows, columns = rows.to(source.device), columns.to(source.device)
    return source.index_select(2, rows).index_select(3, columns), moved


def _sources(canvas: Canvas, axis: Axis, covered: Tensor, patch: Patch) -> tuple[Tensor, Tensor]:
    """For each row or column the one that is painted there, and whether there is one."""
    side, count = canvas.side(axis), canvas.size[DIMENSION[axis] - 2]
    distance = round((patch.right if axis == "x" else patch.down) * side.frame_length)
    index = torch.arange(count)
    index = index if patch.back else index - distance
    if patch.mirror in (axis, "both"):
        places = covered.nonzero()[:, 0]
        index = int(places[0]) + int(places[-1]) - index
    index = index + distance if patch.back else index
    if side.is_periodic and side.covers_frame and count == side.frame_length:
        return index % count, torch.ones(count, dtype=torch.bool)
    return index.clamp(0, count - 1), (index >= 0) & (index < count)


def _continued(tensor: Tensor, hole: Tensor) -> Tensor:
    """``tensor`` with what is under ``hole`` made of averages of its surroundings, coarser further inside.

    The pull and push of scattered-data interpolation: known pixels are averaged to half the size until nothing is
    unknown, and unknown ones take what the coarser level has.
    """
    known = (1 - hole).expand(1, 1, *tensor.shape[2:])
    return _push_pull(tensor.float(), known.float()).to(tensor)


def _push_pull(tensor: Tensor, known: Tensor) -> Tensor:
    height, width = tensor.shape[2:]
    if bool((known >= 1).all()) or (height, width) == (1, 1):
        return tensor
    pad = (0, width % 2, 0, height % 2)
    weights = F.avg_pool2d(F.pad(known, pad), 2)
    sums = F.avg_pool2d(F.pad(tensor * known, pad), 2)
    means = torch.where(weights > 0, sums / weights.clamp(min=1e-12), torch.zeros_like(sums))
    coarse = _push_pull(means, (4 * weights).clamp(max=1))
    finer = F.interpolate(coarse, scale_factor=2, mode="bilinear")[..., :height, :width]
    return tensor * known + finer * (1 - known)
