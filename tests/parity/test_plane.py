"""Grids against a plain transcription of the formulas, in float64 and in loops: no canvas, no window, no walk."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.model import Model
from sgkit.render.arrange import plane_of
from sgkit.render.grid import Grid
from sgkit.render.scene import Noise, Scene, Seed, Subject

COLUMNS, ROWS = 3, 2


def modulated(x: Tensor, weight: Tensor, style: Tensor, *, up: bool = False, demodulate: bool = True) -> Tensor:
    """StyleGAN2, equations 1 to 3, for one image; ``up``: doubled, then filtered by 1 3 3 1."""
    w = weight / math.sqrt(weight[0].numel()) * style[None, :, None, None]
    if demodulate:
        w = w / (w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
    if not up:
        return F.conv2d(x, w, padding=w.shape[-1] // 2)
    doubled = F.conv_transpose2d(x, w.flip((2, 3)).transpose(0, 1), stride=2)
    return blurred(F.pad(doubled, (1, 1, 1, 1)))


def blurred(x: Tensor) -> Tensor:
    """Filtered by 1 3 3 1 along both axes, with the gain of a doubling."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 8 * 2
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, groups=x.shape[1])


def doubled(image: Tensor) -> Tensor:
    """An image of twice the size: zeros between the pixels, then the filter."""
    wide = torch.zeros(1, image.shape[1], 2 * image.shape[2], 2 * image.shape[3], dtype=image.dtype)
    wide[:, :, ::2, ::2] = image
    return blurred(F.pad(wide, (2, 1, 2, 1)))


def share(position: float, place: int, count: int, overlap: float, *, soat: bool, pixels: float, ring: bool) -> float:
    """The weight of a place at a position, counted in places from 0 to ``count``."""
    total = 0.0
    for turn in (-count, 0, count) if ring else (0,):
        left, right = place + turn, place + turn + 1  # where its part begins and ends
        rise, fall = (ramp(position - edge, overlap, soat=soat, pixels=pixels) for edge in (left, right))
        is_first, is_last = place == 0 and not ring, place == count - 1 and not ring
        total += (1.0 if is_first else rise) - (0.0 if is_last else fall)
    return total


def ramp(distance: float, overlap: float, *, soat: bool, pixels: float) -> float:
    """From 0 to 1 around an edge: smoothstep, or ``linspace(0, 1, n)`` over the n pixels of the ramp."""
    if overlap == 0:
        return 1.0 if distance >= 0 else 0.0
    if soat:
        n = overlap * pixels
        return min(max((distance * pixels + n / 2 - 0.5) / (n - 1), 0.0), 1.0)
    t = min(max(distance / overlap + 0.5, 0.0), 1.0)
    return 3 * t**2 - 2 * t**3


def weight_maps(size: tuple[int, int], overlap: float, *, soat: bool, ring: bool) -> list[Tensor]:
    """One map for each place, pixel by pixel."""
    height, width = size
    maps = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            found = torch.zeros(size, dtype=torch.float64)
            for y in range(height):
                for x in range(width):
                    down, across = (y + 0.5) * ROWS / height, (x + 0.5) * COLUMNS / width
                    a = share(down, row, ROWS, overlap, soat=soat, pixels=height / ROWS, ring=ring)
                    b = share(across, column, COLUMNS, overlap, soat=soat, pixels=width / COLUMNS, ring=ring)
                    found[y, x] = a * b
            maps.append(found)
    return maps


def transcribed(model: Model, overlap: float, *, soat: bool = False, ring: bool = False) -> Tensor:
    """The whole grid: every style on the whole canvas at every layer, and the sum by weights.

    A ring is drawn as nine copies side by side, of which the middle one is shown.
    """
    network = model.generator.synthesis
    tensors = {name: value.double() for name, value in network.state_dict().items()}
    styles = {name: s.double() for name, s in model.styles(model.map(model.sample_z(range(ROWS * COLUMNS)))).items()}
    copies = 3 if ring else 1

    def maps(size: tuple[int, int], width: float) -> list[Tensor]:
        own = (size[0] // copies, size[1] // copies)
        return [one.repeat(copies, copies) for one in weight_maps(own, width, soat=soat and width > 0, ring=ring)]

    def layer(name: str, x: Tensor, style: Tensor, *, up: bool = False, rgb: bool = False) -> Tensor:
        y = modulated(x, tensors[f"{name}.weight"], style, up=up, demodulate=not rgb)
        y = y + tensors[f"{name}.bias"][:, None, None]
        return y if rgb else F.leaky_relu(y, 0.2) * math.sqrt(2)

    def mixed(ys: list[Tensor], width: float) -> Tensor:
        shares = maps((ys[0].shape[2], ys[0].shape[3]), width)
        return sum((y * w for y, w in zip(ys, shares, strict=True)), torch.zeros((), dtype=torch.float64))

    firsts = [layer("b4_conv1", tensors["b4_input.const"][None], style[None][0]) for style in styles["b4_conv1"]]
    placed = [first.repeat(1, 1, ROWS * copies, COLUMNS * copies) for first in firsts]
    x = mixed(placed, 0.0 if soat else overlap)
    image = mixed([layer("b4_rgb", x, style, rgb=True) for style in styles["b4_rgb"]], overlap)
    for resolution in (8, 16):
        for name, up in ((f"b{resolution}_conv0", True), (f"b{resolution}_conv1", False)):
            x = mixed([layer(name, x, style, up=up) for style in styles[name]], overlap)
        name = f"b{resolution}_rgb"
        image = doubled(image) + mixed([layer(name, x, style, rgb=True) for style in styles[name]], overlap)
    height, width = 16 * ROWS, 16 * COLUMNS
    return image[:, :, height : 2 * height, width : 2 * width] if ring else image


@pytest.mark.parametrize(
    ("arrangement", "ring"),
    [
        ({}, False),
        ({"overlap": 1.0}, False),
        ({"overlap": 0.0}, False),
        ({"overlap": 0.3}, True),
        ({"overlap": 1.0}, True),
    ],
)
@pytest.mark.parametrize("blend", ["smooth", "soat"])
def test_a_grid_is_what_the_formulas_give(
    tiny_model: Any, arrangement: dict[str, float], ring: bool, blend: str
) -> None:
    overlap = arrangement.get("overlap", 0.5)
    if blend == "soat" and overlap != 1.0:
        pytest.skip("its ramps are as wide as an image")
    model = tiny_model()
    subjects = {f"s{i}": Subject(source=Seed(seed=i)) for i in range(ROWS * COLUMNS)}
    grid = Grid(kind="grid", of=tuple(subjects), columns=COLUMNS, rows=ROWS, blend=blend, **arrangement)
    scene = Scene(subjects=subjects, arrangement=grid, periodic=("x", "y") if ring else (), noise=Noise(kind="none"))
    expected = transcribed(model, overlap, soat=blend == "soat", ring=ring)
    for tile in (512, 16):
        found = plane_of(scene, model, tile=tile).image()
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
