"""Pixel blitting and geometric transforms as one resampling per image (Karras et al. 2020, appendix B.2).

An image is continued by reflection, enlarged by 2 with an orthogonal low-pass filter, sampled at the transformed
places, and reduced with the same filter.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sgkit.runtime.device import to_device
from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.augment.random import AugmentRandom, where
from sgkit.training.augment.sampling import sample_bilinear
from sgkit.training.augment.wavelets import TAPS, enlarge, reduce


def move(images: Tensor, random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
    """``images`` [N, C, H, W] after blitting and geometry; those that stay where they are come back bit for bit."""
    height, width = images.shape[-2:]
    inverse = inverse_transform(random, p=p, pipe=pipe, size=(height, width))
    rows = (inverse != torch.eye(3, device=inverse.device)).flatten(1).any(dim=1).nonzero()[:, 0]
    if not len(rows):
        return images
    # On the CPU each image is enlarged no further than it needs; an accelerator takes them at once.
    count = 1 if images.device.type == "cpu" else len(rows)
    places = to_device(rows, images.device)
    chosen = torch.split(images.index_select(0, places), count)
    moved = torch.cat([warp(x, g) for x, g in zip(chosen, torch.split(inverse[rows], count), strict=True)])
    return moved if len(rows) == len(images) else images.index_copy(0, places, moved)


# -------------------------------------------------------------------------------------------------- matrices


def inverse_transform(random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe, size: tuple[int, int]) -> Tensor:
    """Homogeneous matrices [N, 3, 3] from places of the output to places of the input.

    Places are (x, y) in pixels from the middle of the image. Each factor is the inverse of its transform.
    """
    height, width = size
    inverse = torch.eye(3, device=random.uniforms.device).expand(len(random.uniforms), 3, 3)
    for factor in (*_blits(random, p, pipe, height, width), *_general(random, p, pipe, height, width)):
        inverse = inverse @ factor
    return inverse


def _blits(random: AugmentRandom, p: Tensor | float, pipe: AugmentPipe, height: int, width: int) -> list[Tensor]:
    factors = []
    if pipe.xflip > 0:
        flipped = random.happens("xflip", pipe.xflip * p) & (random.uniform("xflip.side") >= 0.5)
        side = 1.0 - 2.0 * flipped.float()
        factors.append(_scaling(side, torch.ones_like(side)))
    if pipe.rotate90 > 0:
        happens = random.happens("rotate90", pipe.rotate90 * p)
        factors.append(_quarter_turns(where(happens, torch.floor(random.uniform("rotate90.turns") * 4.0), 0.0)))
    if pipe.xint > 0:
        happens = random.happens("xint", pipe.xint * p)
        shares = [(2.0 * random.uniform(column) - 1.0) * pipe.xint_max for column in ("xint.x", "xint.y")]
        x, y = (torch.round(share * side) for share, side in zip(shares, (width, height), strict=True))
        factors.append(_translation(where(happens, -x, 0.0), where(happens, -y, 0.0)))
    return factors


def _general(random: AugmentRandom, p: Tensor | float, pipe: AugmentPipe, height: int, width: int) -> list[Tensor]:
    factors = []
    if pipe.scale > 0:
        scale = torch.exp2(-random.normal("scale") * pipe.scale_std)
        scale = where(random.happens("scale", pipe.scale * p), scale, 1.0)
        factors.append(_scaling(scale, scale))
    if pipe.rotate > 0:
        factors.append(_rotation(_angle(random, "rotate", p, pipe)))
    if pipe.aniso > 0:
        stretch = torch.exp2(random.normal("aniso") * pipe.aniso_std)
        stretch = where(random.happens("aniso", pipe.aniso * p), stretch, 1.0)
        factors.append(_scaling(1.0 / stretch, stretch))
    if pipe.rotate > 0:
        factors.append(_rotation(_angle(random, "rotate_after", p, pipe)))
    if pipe.xfrac > 0:
        happens = random.happens("xfrac", pipe.xfrac * p)
        x, y = (
            where(happens, -random.normal(column) * pipe.xfrac_std * side, 0.0)
            for column, side in (("xfrac.x", width), ("xfrac.y", height))
        )
        factors.append(_translation(x, y))
    return factors


def _angle(random: AugmentRandom, transform: str, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
    """Angles [N]. Rotation comes before and after anisotropic scaling, so that both together happen with ``p``."""
    whole = torch.as_tensor(pipe.rotate * p, dtype=torch.float32, device=random.uniforms.device)
    each = 1.0 - torch.sqrt((1.0 - whole).clamp(0.0, 1.0))
    angle = (2.0 * random.uniform(f"{transform}.angle") - 1.0) * math.pi * pipe.rotate_max
    return where(random.happens(transform, each), angle, 0.0)


def _matrix(a: Tensor, b: Tensor, x: Tensor, c: Tensor, d: Tensor, y: Tensor) -> Tensor:
    """Matrices [N, 3, 3] with the rows (a, b, x), (c, d, y), (0, 0, 1)."""
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    return torch.stack([a, b, x, c, d, y, zero, zero, one], dim=-1).reshape(-1, 3, 3)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return _matrix(x, zero, zero, zero, y, zero)


def _translation(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix(one, zero, x, zero, one, y)


def _rotation(angle: Tensor) -> Tensor:
    zero, cos, sin = torch.zeros_like(angle), torch.cos(angle), torch.sin(angle)
    return _matrix(cos, -sin, zero, sin, cos, zero)


def _quarter_turns(turns: Tensor) -> Tensor:
    """Rotations by ``turns`` [N] right angles, in whole numbers: the sines of a turn are exact."""
    zero = torch.zeros_like(turns)
    cos, sin = ((turns == 0).float() - (turns == 2).float(), (turns == 1).float() - (turns == 3).float())
    return _matrix(cos, -sin, zero, sin, cos, zero)


# ------------------------------------------------------------------------------------------------ resampling


class Span(NamedTuple):
    """Pixels ``first`` to before ``last`` of an axis, counted from the image's first."""

    first: int
    last: int


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """``images`` [N, C, H, W] moved by ``inverse`` [N, 3, 3] on the CPU, as :func:`inverse_transform` gives it.

    The image is continued by reflection, once to either side; beyond that is 0.
    """
    height, width = images.shape[-2:]
    columns, rows = _spans(inverse, height, width)
    large = enlarge(enlarge(images, *columns, dim=-1), *rows, dim=-2)
    moved = sample_bilinear(large, _grid(inverse.to(images.dtype), columns, rows, height, width, images.device))
    return reduce(reduce(moved, height, dim=-2), width, dim=-1)


def _grid(inverse: Tensor, columns: Span, rows: Span, height: int, width: int, device: torch.device) -> Tensor:
    """Where the enlarged output comes from, [N, 2 * height + 10, 2 * width + 10, 2], from -1 to 1 over the spans.

    The output has the places that the reducing filter reads. Place 2 * i of an enlarged axis shows pixel i.
    """
    x, y = (
        0.5 * torch.arange(1 - TAPS // 2, 2 * side + TAPS // 2 - 1, device=device, dtype=inverse.dtype) - (side - 1) / 2
        for side in (width, height)
    )
    # From pixels around the middle to places from the first of the span, to the share of the span.
    scale = inverse.new_tensor([2.0 / (span.last - span.first) for span in (columns, rows)])
    start = inverse.new_tensor([(width - 1) / 2 - columns.first + 0.25, (height - 1) / 2 - rows.first + 0.25])
    across, down, offset = (scale * inverse[:, None, None, :2, column] for column in range(3))
    across, down, offset = (to_device(part, device) for part in (across, down, offset + scale * start - 1.0))
    return across * x[:, None] + (down * y[:, None, None] + offset)


def _spans(inverse: Tensor, height: int, width: int) -> tuple[Span, Span]:
    """Columns and rows that the output is sampled from, of the image and its reflections."""
    x, y = width / 2 + TAPS / 4, height / 2 + TAPS / 4
    corners = inverse[:, :2] @ inverse.new_tensor([[-x, x, -x, x], [-y, -y, y, y], [1.0, 1.0, 1.0, 1.0]])
    middle = inverse.new_tensor([(width - 1) / 2, (height - 1) / 2])
    low = (corners.amin(dim=(0, 2)) + middle - 0.5).floor()
    high = (corners.amax(dim=(0, 2)) + middle + 1.5).ceil()
    first, last = torch.stack([low, high]).long().tolist()
    return _limited(first[0], last[0], width), _limited(first[1], last[1], height)


def _limited(first: int, last: int, side: int) -> Span:
    first = min(max(first, 1 - side), 2 * side - 2)
    return Span(first, max(min(last, 2 * side - 1), first + 1))
