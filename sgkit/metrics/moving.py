"""Images moved and turned as exactly as pixels allow: the references of the equivariance metrics.

Karras et al., "Alias-free generative adversarial networks", 2021, appendix E.2 and E.3. Each function returns the new
images [N, C, H, W] and a mask [1, 1, H, W] of the pixels that are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

A = 3
"""Lobes of the Lanczos window."""
REACH = 2 * A
"""Half the width of the filters for rotation, in pixels."""
FINE = 4
"""Samples per pixel of the image that is turned."""
_GRID = 64
"""Half the width of the plane on which filters are convolved, in pixels: wide enough that nothing wraps around."""


def moved_by_pixels(images: Tensor, right: int, down: int) -> tuple[Tensor, Tensor]:
    """``images`` moved by whole pixels; what enters is 0."""
    height, width = images.shape[2:]
    moved, mask = torch.zeros_like(images), images.new_zeros(1, 1, height, width)
    if abs(right) < width and abs(down) < height:
        to = (slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0)))
        source = (slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0)))
        moved[:, :, to[0], to[1]] = images[:, :, source[0], source[1]]
        mask[:, :, to[0], to[1]] = 1
    return moved, mask


def moved_by_sinc(images: Tensor, right: float, down: float) -> tuple[Tensor, Tensor]:
    """``images`` moved by any number of pixels: filtered by a sinc with a Lanczos window of 3 lobes."""
    height, width = images.shape[2:]
    moved, mask = images, images.new_zeros(1, 1, height, width)
    spans = []
    for dimension, amount, side in ((3, right, width), (2, down, height)):
        whole = math.floor(amount)
        places = torch.arange(2 * A, dtype=torch.float64) - (A - 1) - (amount - whole)
        taps = torch.sinc(places) * torch.sinc(places / A)
        moved = _shifted(moved, taps / taps.sum(), whole, dimension)
        # A pixel is known where all 6 that it is made of are within the image.
        spans.append(slice(min(max(whole + A, 0), side), max(min(whole - A + 1, 0) + side, 0)))
    mask[:, :, spans[1], spans[0]] = 1
    return moved, mask


def _shifted(images: Tensor, taps: Tensor, whole: int, dimension: int) -> Tensor:
    """out[n] = sum_k taps[k] in[n - whole - (k - A + 1)] along ``dimension``, 0 beyond the images."""
    side = images.shape[dimension]
    total = torch.zeros_like(images)
    for number, tap in enumerate(taps.tolist()):
        by = whole + number - (A - 1)
        length = side - abs(by)
        if length > 0:
            part = images.narrow(dimension, max(-by, 0), length)
            total.narrow(dimension, max(by, 0), length).add_(part, alpha=tap)
    return total


def rotation_filter(angle: float, *, fine: int) -> Tensor:
    """Taps [12 fine - 1, 12 fine - 1] that pass what both the grid and the one turned by ``angle`` can hold, float64.

    The convolution of an ideal low-pass filter along the axes with one along the turned axes, times the same of Lanczos
    windows. With ``fine`` samples per pixel, every phase of the filter sums to ``1 / fine^2``.
    """
    count = 2 * _GRID * fine - 1
    places = torch.fft.fftfreq(count, d=1 / count, dtype=torch.float64) / fine  # pixels, 0 first
    down, right = torch.meshgrid(places, places, indexing="ij")
    cosine, sine = math.cos(angle), math.sin(angle)
    turned_right, turned_down = cosine * right + sine * down, -sine * right + cosine * down

    def both(function: Callable[[Tensor], Tensor]) -> Tensor:
        own, other = function(right) * function(down), function(turned_right) * function(turned_down)
        joined: Tensor = torch.fft.ifft2(torch.fft.fft2(own) * torch.fft.fft2(other)).real
        return joined

    taps = both(torch.sinc) * both(_window)
    half = REACH * fine - 1
    taps = taps.roll((half, half), dims=(0, 1))[: 2 * half + 1, : 2 * half + 1]
    padded = F.pad(taps, (0, 1, 0, 1)).reshape(2 * REACH, fine, 2 * REACH, fine)
    padded = padded / padded.sum(dim=(0, 2), keepdim=True) / fine**2
    return padded.reshape(2 * REACH * fine, 2 * REACH * fine)[:-1, :-1]


def _window(x: Tensor) -> Tensor:
    return torch.sinc(x / A) * (x.abs() < A)


def turned(images: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """``images`` turned by ``angle`` (radians, counter-clockwise), band-limited so that the new grid can hold them."""
    height, width = images.shape[2:]
    taps = rotation_filter(angle, fine=FINE).to(images)
    channels, around = images.shape[1], len(taps) // 2
    # The image at 4 samples per pixel: each pixel in the middle of its samples, the filter's reach on every side.
    fine = torch.zeros(len(images), channels, height * FINE, width * FINE, dtype=images.dtype, device=images.device)
    fine[:, :, ::FINE, ::FINE] = images
    before, after = 2 * around + FINE // 2, 2 * around - FINE // 2
    kernel = (taps.flip((0, 1)) * FINE**2).expand(channels, 1, -1, -1)
    fine = F.conv2d(F.pad(fine, (before, after, before, after)), kernel, groups=channels)
    known, edge = fine.new_zeros(1, 1, *fine.shape[2:]), 2 * around + 1
    known[:, :, edge:-edge, edge:-edge] = 1
    grid = _sampling_grid(angle, (height, width), around).to(images)
    result = F.grid_sample(fine, grid.expand(len(images), -1, -1, -1), mode="bilinear", align_corners=False)
    return result, F.grid_sample(known, grid, mode="nearest", align_corners=False)


def _sampling_grid(angle: float, size: tuple[int, int], around: int) -> Tensor:
    """Where each pixel of the turned image is in the finely sampled one, as ``grid_sample`` wants it."""
    height, width = size
    down = torch.arange(height, dtype=torch.float64) + 0.5 - height / 2
    right = torch.arange(width, dtype=torch.float64) + 0.5 - width / 2
    y, x = torch.meshgrid(down, right, indexing="ij")
    cosine, sine = math.cos(angle), math.sin(angle)
    places = []
    for source, side in ((cosine * x - sine * y, width), (sine * x + cosine * y, height)):
        sample = (source + side / 2 - 0.5) * FINE + around + FINE // 2
        places.append((2 * sample + 1) / (side * FINE + 2 * around) - 1)
    return torch.stack(places, dim=-1)[None]


def turned_twice(images: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """``images``, which a generator has turned by ``angle``, low-passed as :func:`turned` does it: there and back."""
    taps = rotation_filter(-angle, fine=1).to(images)
    channels, around = images.shape[1], len(taps) // 2
    kernel = taps.flip((0, 1)).expand(channels, 1, -1, -1)
    result = F.conv2d(images, kernel, padding=around, groups=channels)
    mask = images.new_zeros(1, 1, *images.shape[2:])
    mask[:, :, around:-around, around:-around] = 1
    return result, mask
