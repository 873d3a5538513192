"""Filter resampling on CUDA by one Triton kernel, for which :mod:`sgkit.ops.resample` otherwise takes convolutions.

cuDNN computes a convolution of every channel by itself far below the speed of memory, and wants zeros and padding
written out first. This kernel reads the input and writes the result, in either layout, and computes in float32.
``SGKIT_TRITON=0`` turns it off; ``TRITON_INTERPRET=1`` runs it on a CPU, slowly, which tests it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

LONGEST = 32
"""Taps along an axis up to which the kernel is used: it unrolls them."""
LARGEST = 2**31 - 1
"""Values in a tensor that it can count."""


class Geometry(NamedTuple):
    """A filter over a signal with zeros inserted, of whose results every n-th is kept; all as (rows, columns)."""

    up: tuple[int, int]
    down: tuple[int, int]
    before: tuple[int, int]
    """Zeros before the signal."""
    size: tuple[int, int]
    """Of the result."""

    def adjoint(self, size: tuple[int, int], taps: tuple[int, ...]) -> Geometry:
        """That of the slope, which has the flipped filter: from results back to a signal of ``size``."""
        before = (taps[0] - 1 - self.before[0], taps[1] - 1 - self.before[1])
        return Geometry(up=self.down, down=self.up, before=before, size=size)


@functools.cache
def is_usable() -> bool:
    """Whether Triton is installed and not turned off."""
    return os.environ.get("SGKIT_TRITON", "1") != "0" and importlib.util.find_spec("triton") is not None


def serves(x: Tensor, size: tuple[int, int], taps: int) -> bool:
    """Whether ``x`` [N, C, H, W] can be filtered here with ``taps`` along an axis, to a result of ``size``."""
    if torch.compiler.is_compiling() or not (x.is_cuda or _is_interpreted()):
        return False
    largest = max(x.numel(), x.shape[0] * x.shape[1] * size[0] * size[1])
    if not 0 < largest <= LARGEST or taps > LONGEST or x.dtype == torch.float64 or not is_usable():
        return False
    return not x.is_cuda or why_not(x.device) is None


@functools.cache
def why_not(device: torch.device) -> str | None:
    """Why the kernel does not run on a CUDA device, in words; ``None``: it does. Tries it on a few pixels."""
    if not is_usable():
        return "triton is not installed, or SGKIT_TRITON is 0"
    try:
        x = torch.arange(4.0, device=device).view(1, 1, 2, 2)
        geometry = Geometry(up=(1, 1), down=(1, 1), before=(0, 0), size=(1, 1))
        found = float(_run(x, torch.ones(2, 2, device=device), geometry))
    except Exception as error:  # a compiler or driver that is missing, in whatever way: the plain path is there
        return f"triton cannot compile for it ({type(error).__name__}: {str(error).strip().splitlines()[:1]})"
    return None if found == 6.0 else f"triton computes {found:g} where 6 is right"


def _is_interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def filtered(x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
    """``x`` [N, C, H, W] correlated with the constant ``kernel`` [h, w], differentiable as often as wanted.

    The result [N, C, *geometry.size] has the dtype and layout of ``x``.
    """
    found: Tensor = _Filtered.apply(x, kernel.to(torch.float32), geometry)  # type: ignore[no-untyped-call]
    return found


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.adjoint = geometry.adjoint((x.shape[2], x.shape[3]), kernel.shape)
        return _run(x, kernel.contiguous(), geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,) = ctx.saved_tensors
        return filtered(gradients[0], kernel.flip((0, 1)), ctx.adjoint), None, None


def _run(x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
    batch, channels = x.shape[:2]
    is_last = x.stride(1) == 1 and channels > 1
    layout = torch.channels_last if is_last else torch.contiguous_format
    out = torch.empty((batch, channels, *geometry.size), dtype=x.dtype, device=x.device, memory_format=layout)
    # A row is what is together in memory: of all channels where they come last, else of one.
    row = geometry.size[1] * (channels if is_last else 1)
    block = min(1024, max(32, 1 << (row - 1).bit_length()))
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        _launch(x, kernel, out, geometry, row=row, block=block, is_last=is_last)
    return out


def _launch(x: Tensor, kernel: Tensor, out: Tensor, geometry: Geometry, *, row: int, block: int, is_last: bool) -> None:
    _, channels, height, width = x.shape
    _program()[(out.numel() // row, -(-row // block))](
        x,
        kernel,
        out,
        channels,
        height,
        width,
        geometry.size[0],
        *x.stride(),
        row,
        *geometry.before,
        UP_Y=geometry.up[0],
        UP_X=geometry.up[1],
        DOWN_Y=geometry.down[0],
        DOWN_X=geometry.down[1],
        TAPS_Y=kernel.shape[0],
        TAPS_X=kernel.shape[1],
        IS_LAST=is_last,
        BLOCK=block,
    )


@functools.cache
def _program() -> Any:
    """The kernel, compiled for each kind of resampling at its first use."""
    return importlib.import_module("sgkit.ops.fir_program").fir
