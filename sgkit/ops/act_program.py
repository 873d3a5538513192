"""The Triton programs of :mod:`sgkit.ops.act_kernel`: imported only where Triton is installed."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def act(
    x: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    total: tl.tensor,
    channels: tl.tensor,
    area: tl.tensor,
    scale: tl.tensor,
    clamp: tl.tensor,
    SLOPE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write ``clamp(f((x + bias) * scale))``; a channel is ``area`` neighbours in memory."""
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    value = tl.load(x + index, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        value += tl.load(bias + index // area % channels, mask=inside, other=0.0).to(tl.float32)
    value *= scale
    value = tl.where(value > 0, value, value * SLOPE)
    if HAS_CLAMP:
        value = tl.minimum(tl.maximum(value, -clamp), clamp)
    tl.store(out + index, value.to(out.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def slope(
    gradient: tl.tensor,
    result: tl.tensor,
    out: tl.tensor,
    total: tl.tensor,
    scale: tl.tensor,
    clamp: tl.tensor,
    SLOPE: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write ``gradient`` times the slope of what gave ``result``."""
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    given = tl.load(gradient + index, mask=inside, other=0.0).to(tl.float32)
    value = tl.load(result + index, mask=inside, other=0.0).to(tl.float32)
    found = given * tl.where(value > 0, scale, scale * SLOPE)
    if HAS_CLAMP:
        found = tl.where(tl.abs(value) < clamp, found, 0.0)
    tl.store(out + index, found.to(out.dtype.element_ty), mask=inside)
