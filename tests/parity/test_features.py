"""Expand, blend and shift against plain transcriptions: loops over the pixels of one layer, through whole networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sgkit.edits import closing
from sgkit.model import Branch, LayerSpec, Model, State, walk
from sgkit.render.blend import BlendSettings, blend
from sgkit.render.expand import ExpandSettings, expand
from sgkit.render.shift import ShiftSettings, shift

FAMILIES = ("progan", "stylegan1-f", "stylegan2-f", "stylegan2-e-gresnet-dorig", "self-modulated")
TOLERANCE = 1e-5


def drawn(model: Model, edit: Callable[[LayerSpec, list[State]], list[State]], *seeds: int) -> Tensor:
    network = model.generator.synthesis
    branches = [Branch(network, model.styles(model.map(model.sample_z([seed])))) for seed in seeds]
    return walk(branches, edit=edit)[0].image[0]


def at(model: Model, pixels: int) -> int:
    (index,) = closing(pixels).layers(model.generator.synthesis.plan)
    return index


def by_pixels(tensor: Tensor, size: tuple[int, int], place: Callable[[int, int], tuple[int, int]]) -> Tensor:
    """A tensor whose pixel (row, column) is that of ``tensor`` at ``place(row, column)``."""
    result = torch.zeros(*tensor.shape[:2], *size)
    for row in range(size[0]):
        for column in range(size[1]):
            from_row, from_column = place(row, column)
            result[:, :, row, column] = tensor[:, :, from_row, from_column]
    return result


def reflected(index: int, length: int) -> int:
    while not 0 <= index < length:
        index = -index if index < 0 else 2 * (length - 1) - index
    return index


PLACES: dict[str, Callable[[int, int], int]] = {
    "reflect": reflected,
    "replicate": lambda index, length: min(max(index, 0), length - 1),
    "circular": lambda index, length: index % length,
}


@pytest.mark.parametrize("mode", PLACES)
@pytest.mark.parametrize("family", FAMILIES)
def test_padding(tiny_model: Callable[..., Model], family: str, mode: str) -> None:
    """Three features at the left, eleven at the top (more than there are), of 8 x 8."""
    model, place = tiny_model(family), PLACES[mode]
    layer = at(model, 8)

    def pad(spec: LayerSpec, states: list[State]) -> list[State]:
        if spec.index != layer:
            return states

        def source(row: int, column: int) -> tuple[int, int]:
            return place(row - 11, 8), place(column - 3, 8)

        state = states[0].map(lambda tensor: by_pixels(tensor, (19, 11), source))
        canvas = states[0].place
        grown = canvas._replace(y=canvas.y.extended(11, 0), x=canvas.x.extended(3, 0))
        return [State(x=state.x, rgb=state.rgb, shortcut=state.shortcut, canvas=grown)]

    (found,) = expand(model, 1, None, ExpandSettings(mode=mode, left=6, top=22))  # type: ignore[arg-type]
    assert (found.image - drawn(model, pad, 1)).abs().max() < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_shift(tiny_model: Callable[..., Model], family: str) -> None:
    """A box of 3 x 4 features and its swap, then a mirrored part, all from another image as it was."""
    model = tiny_model(family)
    layer = at(model, 8)

    def move(spec: LayerSpec, states: list[State]) -> list[State]:
        if spec.index != layer:
            return states
        tensors = {}
        for name in ("x", "rgb", "shortcut"):
            own, other = (getattr(state, name) for state in states)
            if own is None:
                continue
            result = own.clone()
            for row in range(1, 5):
                for column in range(3):
                    result[:, :, row, column] = other[:, :, row + 2, column + 5]
            for row in range(1, 5):
                for column in range(3):
                    result[:, :, row + 2, column + 5] = other[:, :, row, column]
            for row in range(6, 8):
                for column in range(2, 7):
                    result[:, :, row, column] = other[:, :, row, 2 + 6 - column]
            tensors[name] = result
        return [State(**tensors, canvas=states[0].canvas), states[1]]

    settings = ShiftSettings(
        swaps=("box:0,0.125,0.375,0.625 by 0.625,0.25",), mirrors=("box:0.25,0.75,0.875,1 x",), softness=0, at="8px"
    )
    (found,) = shift(model, 1, None, settings, parts_of=2)
    assert (found.image - drawn(model, move, 1, 2)).abs().max() < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_blend(tiny_model: Callable[..., Model], family: str) -> None:
    """f = (1 - a) f1 + a f2 at every layer, a rising smoothly around the middle, twice over three images."""
    model = tiny_model(family)

    def rise(t: float) -> float:
        t = min(max(t, 0.0), 1.0)
        return t * t * (3 - 2 * t)

    def mixed(tensors: list[Tensor]) -> Tensor:
        result = torch.zeros_like(tensors[0])
        width = result.shape[3]
        for column in range(width):
            place = (column + 0.5) / width
            second, third = rise((place - 1 / 6) * 3), rise((place - 1 / 2) * 3)
            shares = ((1 - second) * (1 - third), second * (1 - third), third)
            for tensor, share in zip(tensors, shares, strict=True):
                result[..., column] += share * tensor[..., column]
        return result

    def weave(spec: LayerSpec, states: list[State]) -> list[State]:
        tensors = {}
        for name in ("x", "rgb", "shortcut"):
            given = [getattr(state, name) for state in states]
            tensors[name] = None if given[0] is None else mixed(given)
        return [State(**tensors, canvas=states[0].canvas)] * 3

    found = blend(model, [1, 2, 3], None, BlendSettings())
    assert (found.image - drawn(model, weave, 1, 2, 3)).abs().max() < TOLERANCE
