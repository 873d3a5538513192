"""Losses as free functions over tensors. Every one returns a value per image, so that sums over any split are exact.

All are differentiable twice; logits are the discriminator's [N, 1], results are [N].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.config.words import LossName


def g_loss(name: LossName, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    """Generator's loss [N] for the loss called ``name``.

    With f and r the logits of fakes and reals: ``-log(sigmoid(f))`` (``nonsaturating``), ``log(1 - sigmoid(f))``
    (``saturating``; both Goodfellow et al. 2014, section 3), ``-f`` (``wgan``, ``hinge``), ``-log(sigmoid(f - r))``
    (``relativistic``; Jolicoeur-Martineau 2018, equation 4: only this one needs ``real_logits``).
    """
    fake = fake_logits.float().squeeze(1)
    if name == "nonsaturating":
        return F.softplus(-fake)
    if name == "saturating":
        return -F.softplus(fake)
    if name == "relativistic":
        assert real_logits is not None
        return F.softplus(real_logits.float().squeeze(1) - fake)
    return -fake


def d_loss(name: LossName, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Discriminator's loss [N] for the loss called ``name``.

    With f and r the logits of fakes and reals: ``-log(sigmoid(r)) - log(1 - sigmoid(f))`` (``nonsaturating``,
    ``saturating``), ``f - r`` (``wgan``; Arjovsky et al. 2017), ``max(0, 1 - r) + max(0, 1 + f)`` (``hinge``; Lim and
    Ye 2017), ``-log(sigmoid(r - f))`` (``relativistic``; Jolicoeur-Martineau 2018, equation 3).
    """
    real, fake = real_logits.float().squeeze(1), fake_logits.float().squeeze(1)
    if name == "wgan":
        return fake - real
    if name == "hinge":
        return F.relu(1 - real) + F.relu(1 + fake)
    if name == "relativistic":
        return F.softplus(fake - real)
    return F.softplus(-real) + F.softplus(fake)


def drift_penalty(real_logits: Tensor) -> Tensor:
    """Squares [N] of the logits of reals, which keep them near 0 (ProGAN, appendix A.1)."""
    return real_logits.float().square().squeeze(1)


def class_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy [N] between D's ``class_logits`` [N, classes] and ``labels`` of that shape (Odena et al. 2017)."""
    return -(labels * F.log_softmax(class_logits.float(), dim=1)).sum(dim=1)


def r1_penalty(images: Tensor, logits: Tensor, *, gamma: float) -> Tensor:
    """R1 [N]: ``gamma / 2 * |dD/dx|^2`` at real images x (Mescheder et al. 2018, equation 9); R2 at generated ones.

    ``images`` [N, C, H, W] must require gradients and ``logits`` come from them, image by image or through the
    minibatch standard deviation, whose cross terms then count as in the papers' runs.
    """
    return _gradient(images, logits).square().sum(dim=(1, 2, 3)) * (gamma / 2)


def gradient_penalty(images: Tensor, logits: Tensor, *, weight: float, scale: float = 1.0) -> Tensor:
    """``weight * (|dD/dx| - 1)^2`` [N] at images x between real and generated ones (Gulrajani et al. 2017, eq. 3).

    ``images`` and ``logits`` as for :func:`r1_penalty`; ``scale`` multiplies the norm.
    """
    squares = _gradient(images, logits).square().sum(dim=(1, 2, 3))
    # The root has no slope at 0, and a network may start from zeros.
    norm = (squares + torch.finfo(squares.dtype).tiny).sqrt() * scale
    return (norm - 1).square() * weight


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


def _gradient(images: Tensor, logits: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(logits.float().sum(), images, create_graph=True)
    return gradient
