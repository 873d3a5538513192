"""Settings of an encoder's training (``sgkit encoder train``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sgkit.config.base import Config, Count, Kimg, Positive, Weight

_Batch = Annotated[int, Field(ge=1, le=65536)]


class EncoderSettings(Config):
    """How an encoder learns to find the latents of images."""

    space: Literal["w", "w+"] = "w"
    """``w``: one w for all layers; ``w+``: one for each, as offsets from the first."""
    kimg: Kimg = 100.0
    """Length of the training, in thousands of images."""
    batch: _Batch = 16
    """Images of a step."""
    lr: Positive = 2e-3
    """Learning rate of Adam, which falls to 0 along a cosine."""
    latent_weight: Weight = 1.0
    """Weight of the squared distance of w, in variances of w, for the model's own images, whose w is known."""
    image_weight: Weight = 1.0
    """Weight of the distance between the image of the latent found and the image given: that of a projection."""
    delta_weight: Weight = 2e-4
    """Weight of the squared offsets between the rows of w+ (Tov et al. 2021)."""
    seed: Count = 0
    """Draws the images, and the layers that a discriminator does not give."""
