"""Configuration of the mapping networks, and what they get from z and the label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sgkit.config.base import Config, Positive, Share
from sgkit.config.words import Activation

MOST_CHANNELS = 1 << 16
"""No network of the field has as many; a larger number is a slip."""

Channels = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]


class MappingConfig(Config):
    """The mapping network f: z -> w (StyleGAN, section 2)."""

    num_layers: Annotated[int, Field(ge=0, le=256)] = 8
    """Fully connected layers. 0: w is the normalised z."""
    activation: Activation = "lrelu"
    layer_features: Channels | None = None
    """Width of the layers between; ``None``: as wide as w."""
    lr_multiplier: Positive = 0.01
    """Learning-rate multiplier of the layers."""
    w_avg_beta: Share = 0.998
    """Decay of the running mean of w, used for truncation."""
    normalize: bool = True
    """Scale z (and what the label became) to unit second moment."""
    gain_in_weight: bool = False
    """The activation's gain scales weights and not biases (StyleGAN1), rather than both (StyleGAN2)."""
    label_mode: Literal["embed", "matrix", "direct", "shift_scale"] = "embed"
    """How a label y joins z. ``embed``: through a layer, normalised apart (ADA). ``matrix``: through a bare matrix,
    normalised together (TensorFlow StyleGAN). ``direct``: as it is, normalised together (ProGAN). ``shift_scale``:
    z + E y + z * E' y (self-modulation)."""
    label_features: Channels | None = None
    """Width of what ``embed`` and ``matrix`` make of the label; ``None``: as wide as w, or as z."""


def joined_features(mapping: MappingConfig, *, z_dim: int, label_dim: int, w_dim: int) -> int:
    """How many features z and the label make together, before the layers of a mapping network."""
    if label_dim == 0 or mapping.label_mode == "shift_scale":
        return z_dim
    if mapping.label_mode == "direct":
        return z_dim + label_dim
    return z_dim + (mapping.label_features or (w_dim if mapping.label_mode == "embed" else z_dim))
