"""Losses as free functions over tensors. Every one returns a value per image, so that sums over any split are exact.

All are differentiable twice; ``logits`` are the discriminator's [N, 1], results are [N].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["d_logistic", "g_nonsaturating", "path_length_penalty", "path_lengths", "r1_penalty"]


def g_nonsaturating(fake_logits: Tensor) -> Tensor:
    """Generator's non-saturating loss [N]: ``-log(sigmoid(D(G(z))))`` (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake_logits.float()).squeeze(1)


def d_logistic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Discriminator's logistic loss [N]: ``-log(sigmoid(D(x))) - log(1 - sigmoid(D(G(z))))`` (ibid., eq. 1)."""
    return (F.softplus(-real_logits.float()) + F.softplus(fake_logits.float())).squeeze(1)


def r1_penalty(images: Tensor, logits: Tensor, *, gamma: float) -> Tensor:
    """R1 [N]: ``gamma / 2 * |dD/dx|^2`` at real images x (Mescheder et al. 2018, equation 9).

    ``images`` [N, C, H, W] must require gradients and ``logits`` come from them, image by image or through the
    minibatch standard deviation, whose cross terms then count as in the papers' runs.
    """
    (gradient,) = torch.autograd.grad(logits.float().sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)) * (gamma / 2)


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Lengths [N] of ``J_w^T y`` (StyleGAN2, equation 4), root mean square over the layers of w+.

    ``images`` [N, C, H, W] come from ``ws`` [N, num_ws, w_dim]; ``noise`` y is standard normal, shaped as ``images``
    and scaled here by 1/sqrt(H W), which keeps lengths alike at every resolution (appendix B).
    """
    height, width = images.shape[2:]
    projection = (images.float() * noise).sum() / math.sqrt(height * width)
    (gradient,) = torch.autograd.grad(projection, ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(lengths: Tensor, mean: Tensor) -> Tensor:
    """Squared distance [N] of each length from the running mean a (StyleGAN2, equation 4)."""
    return (lengths - mean).square()
