"""Style mixing (StyleGAN, section 3.1) as functions of latents."""

from __future__ import annotations

import torch
from torch import Tensor


def mixing_cutoffs(uniform: Tensor, *, num_ws: int, probability: float) -> Tensor:
    """Layers [N] from which the second latent takes over, 1 to ``num_ws - 1``; ``num_ws`` where an image is not mixed.

    ``uniform`` [N, 2] holds random in [0, 1): whether to mix, and where. Every image has its own cutoff.
    """
    where = 1 + (uniform[:, 1] * (num_ws - 1)).long().clamp(max=num_ws - 2)
    mixed = (uniform[:, 0] < probability) & (num_ws > 1)
    return torch.where(mixed, where, num_ws)


def mix_styles(ws: Tensor, other: Tensor, cutoffs: Tensor) -> Tensor:
    """``ws`` [N, num_ws, w_dim] with the layers from ``cutoffs`` [N] on taken from ``other``."""
    layers = torch.arange(ws.shape[1], device=ws.device)
    return torch.where((layers[None, :] < cutoffs[:, None])[:, :, None], ws, other)
