"""Configuration of the mapping networks and their inputs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sgkit.config.base import Config, Positive, Share
from sgkit.config.words import Activation

MOST_CHANNELS = 1 << 16
"""No published network has as many; a larger number is a mistake."""

Channels = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]


class MappingConfig(Config):
    """The mapping network f: z -> w (StyleGAN, section 2)."""

    num_layers: Annotated[int, Field(ge=0, le=256)] = 8
    """Fully connected layers. 0: w is the normalised z."""
    activation: Activation = "lrelu"
    layer_features: Channels | None = None
    """Width of the hidden layers; ``None``: the width of w."""
    lr_multiplier: Positive = 0.01
    """Learning-rate multiplier of the layers."""
    w_avg_beta: Share = 0.998
    """Decay of the running mean of w, used for truncation."""
    normalize: bool = True
    """Scale z (and the embedded label) to unit second moment."""
    gain_in_weight: bool = False
    """Apply the activation's gain to the weights only (StyleGAN1) instead of weights and biases (StyleGAN2)."""
    label_mode: Literal["embed", "matrix", "direct", "shift_scale"] = "embed"
    """How a label y is combined with z. ``embed``: by a layer, normalised separately (ADA). ``matrix``: by a matrix,
    normalised together (TensorFlow StyleGAN). ``direct``: unchanged, normalised together (ProGAN). ``shift_scale``:
    z + E y + z * E' y (self-modulation)."""
    label_features: Channels | None = None
    """Width of the label embedding; ``None``: the width of w (``embed``) or z (``matrix``)."""


def joined_features(mapping: MappingConfig, *, z_dim: int, label_dim: int, w_dim: int) -> int:
    """How many features z and the label make together, before the layers of a mapping network."""
    if label_dim == 0 or mapping.label_mode == "shift_scale":
        return z_dim
    if mapping.label_mode == "direct":
        return z_dim + label_dim
    return z_dim + (mapping.label_features or (w_dim if mapping.label_mode == "embed" else z_dim))
