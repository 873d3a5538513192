"""Images that are not finite numbers are an error: 8-bit pixels would show them as black, without a word."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sgkit.errors import NonFiniteImageError
from sgkit.model.walk import Branch, steps


def finite(images: Tensor, branches: Sequence[Branch]) -> Tensor:
    """``images``, which a walk over ``branches`` gave.

    Raises:
        NonFiniteImageError: they hold NaN or infinity; the first layer that does is named.
    """
    if bool(torch.isfinite(images).all()):
        return images
    raise NonFiniteImageError(_reason(branches))


def _reason(branches: Sequence[Branch]) -> str:
    """Which layer gives the first value that is not finite, and why: its weights, or what goes in."""
    what = "The generated image is not finite (NaN or infinity)"
    styles = {name: style for branch in branches for name, style in branch.styles.items()}
    tensors = {name: style for name, style in styles.items() if isinstance(style, Tensor)}
    odd = next((name for name, style in tensors.items() if not bool(torch.isfinite(style).all())), None)
    if odd is not None:
        return (
            f"{what}, first at layer {odd}: the style that goes in is not. The latents, or the weights of the mapping "
            "network or of an affine layer, hold NaN or infinity. See which with: sgkit info MODEL"
        )
    weights = next((names for branch in branches if (names := not_finite(branch.network))), [])
    if weights:
        more = f" and {len(weights) - 1} more" if len(weights) > 1 else ""
        cause = f"The model's weights are damaged: NaN or infinity in {weights[0]}{more}. Use another snapshot."
    else:
        cause = "Its weights are finite: the latents are too large, or the number format is (use --precision fp32)."
    with torch.no_grad():
        for spec, states in steps(branches):
            values = [value for state in states for value in (state.x, state.rgb, state.shortcut) if value is not None]
            if not all(bool(torch.isfinite(value).all()) for value in values):
                return f"{what}, first at layer {spec.name}. {cause} See also: sgkit info MODEL"
    return f"{what}. {cause} See also: sgkit info MODEL"


def not_finite(network: object) -> list[str]:
    """Names of the tensors of a network that hold NaN or infinity."""
    tensors = network.state_dict() if isinstance(network, nn.Module) else {}
    return [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
