"""Edits that combine what several branches have just written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from sgkit.edits.select import Where, everywhere, matching, when
from sgkit.edits.shapes import Mask, constant
from sgkit.errors import EditError
from sgkit.model import Canvas, Edit, LayerSpec, State

Weights = Callable[[Canvas], Sequence[Tensor]]
"""A canvas -> one weight map for each branch, that broadcasts to its tensor's [height, width]; they sum to 1."""


def weave(weights: Weights, *, where: Where = everywhere) -> Edit:
    """All branches continue with their weighted sum: ``x``, ``rgb`` and shortcut alike.

    Feature interpolation at every layer, f = (1 - a) f1 + a f2, as in "StyleGAN of All Trades" (Chong, Lee and Forsyth
    2021, section 3.2), for any number of branches.
    """
    return when(where, lambda _, states: [weighted_sum(states, weights)] * len(states))


def blend(mask: Mask, *, where: Where = everywhere) -> Edit:
    """Both branches continue with the mix of the two: the second where ``mask`` is 1, the first where it is 0."""
    return weave(_complements(mask), where=where)


def transfer(mask: Mask, *, where: Where = everywhere) -> Edit:
    """The first branch takes from the second where ``mask`` says so; the second continues as it is."""
    return when(where, lambda _, states: [weighted_sum(states, _complements(mask)), states[1]])


def swap(mask: Mask, *, where: Where) -> Edit:
    """Two branches exchange what is under ``mask`` and stay apart; ``where``: mostly :func:`sgkit.edits.closing`."""
    weights = _complements(mask)
    return when(where, lambda _, states: [weighted_sum(states, weights), weighted_sum(states[::-1], weights)])


def interpolate(weight: Callable[[LayerSpec], float]) -> Edit:
    """Two branches continue with their mix by ``weight(spec)``, one number for each layer; at 0 they stay apart.

    With two networks as branches: translation between domains ("toonify").
    """

    def mixed(spec: LayerSpec, states: list[State]) -> list[State]:
        return [weighted_sum(states, _complements(constant(weight(spec))))] * 2

    return when(matching(lambda spec: weight(spec) != 0, "of a weight other than 0"), mixed)


def _complements(mask: Mask) -> Weights:
    """Weights of two branches: the second's is the mask."""

    def weights(canvas: Canvas) -> tuple[Tensor, Tensor]:
        share = mask(canvas)
        return 1 - share, share

    return weights


def weighted_sum(states: Sequence[State], weights: Weights) -> State:
    """One state: every tensor of the states summed by the weights of its canvas.

    Raises:
        EditError: the states are on unlike canvases, or there are not as many weights as states.
    """
    canvas = states[0].place
    if any(state.place != canvas for state in states):
        sizes = ", ".join(f"{state.place.x.length}x{state.place.y.length}" for state in states)
        raise EditError(f"Branches on unlike canvases cannot be combined; theirs are {sizes} (WxH).")
    return State(
        x=_sum([state.x for state in states], weights, canvas),
        rgb=_sum([state.rgb for state in states], weights, canvas),
        shortcut=_sum([state.shortcut for state in states], weights, canvas),
        canvas=canvas,
    )


def _sum(tensors: Sequence[Tensor | None], weights: Weights, canvas: Canvas) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if len(present) < len(tensors) or all(tensor is present[0] for tensor in present):
        return tensors[0]  # not written yet, or written before the branches were last mixed
    maps = [share.to(present[0]) for share in weights(canvas.of(present[0]))]
    if len(maps) != len(present):
        raise EditError(f"{len(maps)} weight maps were given for {len(present)} branches; give one for each.")
    total = present[0] * maps[0]
    for tensor, share in zip(present[1:], maps[1:], strict=True):
        total = total.addcmul_(tensor, share)  # in place: on a wide canvas every copy counts
    return total
