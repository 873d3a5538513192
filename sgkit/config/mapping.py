"""Configuration of the mapping networks, and what they get from z and the label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sgkit.config.base import Config, Positive, Share, require
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


def check_mapping(mapping: MappingConfig, *, z_dim: int, label_dim: int, w_dim: int) -> None:
    """Nothing where the generator's mapping network can be built.

    Raises:
        PydanticCustomError: it has nothing to map, or without layers gives another number of features than w has.
    """
    require(z_dim > 0 or mapping.label_mode != "shift_scale", "z_dim", z_dim, "1 or more with label mode 'shift_scale'")
    joined = joined_features(mapping, z_dim=z_dim, label_dim=label_dim, w_dim=w_dim)
    require(
        joined > 0,
        "mapping.label_features",
        mapping.label_features,
        "1 or more with z_dim 0 and label mode 'matrix'",
    )
    if label_dim > 0 and mapping.label_mode in ("embed", "matrix"):
        allowed = f"1 or more, since z and the label make {joined} features and w_dim is {w_dim}"
        require(mapping.num_layers > 0 or w_dim == joined, "mapping.num_layers", 0, allowed)
    require(mapping.num_layers > 0 or w_dim == joined, "w_dim", w_dim, f"{joined} without mapping layers")


def check_label_mapping(mapping: MappingConfig) -> None:
    """Nothing where the discriminator's mapping network can be built, which gets a label and no z.

    Raises:
        PydanticCustomError: it needs a z, or it has no layers and gives another number of features.
    """
    mode, features = mapping.label_mode, mapping.label_features
    name = "discriminator.mapping"
    require(mode != "shift_scale", f"{name}.label_mode", mode, "embed, matrix or direct: there is no z to shift")
    require(
        mode != "matrix" or features is not None,
        f"{name}.label_features",
        features,
        "1 or more with label mode 'matrix': there is no z whose width it could take",
    )
    require(
        mapping.num_layers > 0 or (mode == "embed" and features is None),
        f"{name}.num_layers",
        mapping.num_layers,
        "1 or more, or 0 with label mode 'embed' and label_features none",
    )
