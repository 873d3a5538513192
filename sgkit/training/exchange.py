"""One exchange between processes per phase: gradients and sums travel in a single flat buffer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sgkit.runtime.distributed import DistributedContext


def sum_over_processes(tensors: Sequence[Tensor], context: DistributedContext) -> None:
    """Replace each tensor by its sum over all processes, in place. Shapes must agree between processes."""
    if context.world_size == 1:
        return
    flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
    context.all_reduce_sum(flat)
    for tensor, values in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(values.view(tensor.shape))
