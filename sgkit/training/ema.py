"""The generator's moving average: the network that is used, measured and shown."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, live: nn.Module, *, beta: float) -> None:
    """``average`` moved to ``live`` in place: parameters p become ``beta p + (1 - beta) live``; buffers are copied.

    A ``beta`` of 0 copies exactly.
    """
    targets, sources = [p.detach() for p in average.parameters()], [p.detach() for p in live.parameters()]
    if beta == 0:
        torch._foreach_copy_(targets, sources)
    else:
        torch._foreach_lerp_(targets, sources, 1.0 - beta)
    copies, originals = list(average.buffers()), list(live.buffers())
    if copies:
        torch._foreach_copy_(copies, originals)
