"""The Triton program of :mod:`sgkit.ops.fir_kernel`: imported only where Triton is installed."""

from __future__ import annotations

import triton
import triton.language as tl

# Numbers that differ from layer to layer: special values of them get no program of their own. Those that places in
# memory follow from are known to divide by 16, where they do, so that neighbours are read and written together.
_CHANGING = ["height", "width", "out_height", "before_y", "before_x"]


@triton.jit(do_not_specialize=_CHANGING)  # type: ignore[untyped-decorator]
def fir(
    x: tl.tensor,
    taps: tl.tensor,
    out: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out_height: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_y: tl.tensor,
    stride_x: tl.tensor,
    row: tl.tensor,
    before_y: tl.tensor,
    before_x: tl.tensor,
    UP_Y: tl.constexpr,
    UP_X: tl.constexpr,
    DOWN_Y: tl.constexpr,
    DOWN_X: tl.constexpr,
    TAPS_Y: tl.constexpr,
    TAPS_X: tl.constexpr,
    IS_LAST: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write a part of one row of ``out``; ``row`` values are together in memory, of all channels where IS_LAST."""
    which = tl.program_id(0)
    index = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = index < row
    out_y = which % out_height
    if IS_LAST:
        n = which // out_height
        c = index % channels
        out_x = index // channels
    else:
        n = which // out_height // channels
        c = which // out_height % channels + index * 0
        out_x = index
    base = x + n.to(tl.int64) * stride_n + c * stride_c
    # The first tap that does not fall on an inserted zero, and the pixel under it; then every UP-th one.
    start_y = out_y * DOWN_Y - before_y
    start_x = out_x * DOWN_X - before_x
    if UP_Y == 1:
        tap_y = 0
        in_y = start_y
    else:
        tap_y = ((-start_y) % UP_Y + UP_Y) % UP_Y
        in_y = (start_y + tap_y) // UP_Y
    if UP_X == 1:
        tap_x = 0
        in_x = start_x
    else:
        tap_x = ((-start_x) % UP_X + UP_X) % UP_X
        in_x = (start_x + tap_x) // UP_X
    found = tl.zeros([BLOCK], dtype=tl.float32)
    for j in tl.static_range((TAPS_Y + UP_Y - 1) // UP_Y):
        ky = tap_y + j * UP_Y
        y = in_y + j
        has_y = (ky < TAPS_Y) & (y >= 0) & (y < height)
        for i in tl.static_range((TAPS_X + UP_X - 1) // UP_X):
            kx = tap_x + i * UP_X
            place = in_x + i
            has = inside & has_y & (kx < TAPS_X) & (place >= 0) & (place < width)
            value = tl.load(base + y * stride_y + place * stride_x, mask=has, other=0.0)
            if UP_X == 1:  # the same for all of the row
                tap = tl.load(taps + ky * TAPS_X + kx, mask=has_y, other=0.0)
            else:
                tap = tl.load(taps + ky * TAPS_X + kx, mask=has, other=0.0)
            found += tap * value.to(tl.float32)
    tl.store(out + which.to(tl.int64) * row + index, found.to(out.dtype.element_ty), mask=inside)
