"""Which transforms a pipeline has, how likely and how strong each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sgkit.config.augment import augment_transforms


@dataclass(frozen=True, kw_only=True)
class AugmentPipe:
    """The transforms of adaptive discriminator augmentation (Karras et al. 2020, appendix B), all off by default.

    A transform named in the first group happens to an image with probability ``value * p``. Strengths have the paper's
    values.
    """

    xflip: float = 0.0
    rotate90: float = 0.0
    xint: float = 0.0
    scale: float = 0.0
    rotate: float = 0.0
    aniso: float = 0.0
    xfrac: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    lumaflip: float = 0.0
    hue: float = 0.0
    saturation: float = 0.0
    filter: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0

    xint_max: float = 0.125
    """Largest integer translation, as a share of the image's width and height."""
    scale_std: float = 0.2
    """Deviation of log2 of isotropic scaling."""
    rotate_max: float = 1.0
    """Largest rotation to either side; 1: half a turn."""
    aniso_std: float = 0.2
    """Deviation of log2 of anisotropic scaling."""
    xfrac_std: float = 0.125
    """Deviation of fractional translation, as a share of the image's width and height."""
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    """Deviation of log2 of contrast."""
    hue_max: float = 1.0
    """Largest rotation of hue to either side; 1: half a turn."""
    saturation_std: float = 1.0
    """Deviation of log2 of saturation."""
    filter_bands: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Likelihood of each frequency band, the lowest first, as a share of ``filter``."""
    filter_std: float = 1.0
    """Deviation of log2 of a band's amplification."""
    noise_std: float = 0.1
    """Deviation of the half-normal deviation of noise."""
    cutout_size: float = 0.5
    """Side of the rectangle cut out, as a share of the image's width and height."""

    @classmethod
    def named(cls, pipe: str) -> AugmentPipe:
        """The pipeline called ``pipe``: a preset such as ``"bgc"``, or parts joined by ``+``.

        Raises:
            ConfigError: a part is unknown (the nearest known one is named).
        """
        chosen: dict[str, Any] = dict.fromkeys(augment_transforms(pipe), 1.0)
        return cls(**chosen)
