"""Arithmetic of the convolutions of a network, counted from its plan: 2 for each product that is added.

Filters, biases, noise, activations and dense layers are left out: they are what an implementation adds to its
convolutions, so that a share of the ceiling of 100% means that they cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sgkit.model.spec import LayerSpec


def convolution(spec: LayerSpec) -> int:
    """Of one layer, for one image. Convolutions that double the size are transposed: they read each input once."""
    if spec.kind in ("input", "head"):
        return 0
    height, width = spec.size
    places = height * width // spec.up**2
    own = 2 * spec.kernel**2 * spec.in_channels * spec.out_channels * places
    shortcut = 2 * spec.in_channels * spec.out_channels * places if spec.shortcut == "open" else 0
    return own + shortcut


def forward(plan: Sequence[LayerSpec]) -> int:
    """Of one image through all layers."""
    return sum(map(convolution, plan))


def training_step(g: int, d: int) -> float:
    """Of one image in StyleGAN2's training, with what a pass through G and D takes.

    A pass back costs two passes; one that needs no gradients of weights costs one. G: through G and back, through D and
    back without weights. D: an image of G's, then D and back for real and generated images. Path lengths, every 4th
    step on half a batch: six passes through G. R1, every 16th: four passes through D.
    """
    return (3 * g + 2 * d) + (g + 6 * d) + 6 * g / 4 / 2 + 4 * d / 16


def projection_step(g: int, d: int = 0) -> int:
    """Of a step of a search in w+: through G and back without weights, and through D likewise."""
    return 2 * (g + d)
