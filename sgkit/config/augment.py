"""Configuration of the augmentation of the discriminator's images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sgkit.config.base import Config, Kimg, Share
from sgkit.config.words import AugmentKind

_FAMILIES = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("filter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
_BG = _FAMILIES["blit"] + _FAMILIES["geom"]
_BGC = _BG + _FAMILIES["color"]
_BGCF = _BGC + _FAMILIES["filter"]
_BGCFN = _BGCF + _FAMILIES["noise"]
_PRESETS = {"bg": _BG, "bgc": _BGC, "bgcf": _BGCF, "bgcfn": _BGCFN, "bgcfnc": _BGCFN + _FAMILIES["cutout"]}
_SINGLE = {name: (name,) for names in _FAMILIES.values() for name in names}

AUGMENT_PARTS: dict[str, tuple[str, ...]] = _FAMILIES | _PRESETS | _SINGLE
"""Name in :attr:`AugmentConfig.pipe` -> the transforms that it stands for."""

DIFFAUGMENT_PARTS = ("color", "translation", "cutout")


class AugmentConfig(Config):
    """Augmentation of the images that D sees, real and generated."""

    kind: AugmentKind = "none"
    """``ada``: transforms of ``pipe``, each with a probability p that follows D's overfitting; ``fixed``: the same with
    a constant p; ``diffaugment``: the transforms of ``policy`` on every image."""
    pipe: str = "bgc"
    """Transforms of ``ada`` and ``fixed``: names from :data:`AUGMENT_PARTS` joined by ``+``, for example ``bgc`` or
    ``blit+color+cutout``."""
    p: Share | None = None
    """Probability of each transform: constant for ``fixed`` (``None``: 0.2), the initial one for ``ada`` (``None``: 0,
    or the last one of the model given by ``--init``)."""
    target: Annotated[float, Field(gt=-1, lt=1)] = 0.6
    """Mean sign of D's logits on real images that ``ada`` aims for."""
    interval: Annotated[int, Field(ge=1, le=10**9)] = 4
    """Steps between adjustments of p."""
    kimg: Kimg = 500.0
    """Thousands of images in which p can rise from 0 to 1."""
    policy: str = "color,translation,cutout"
    """Transforms of ``diffaugment``, separated by commas, in the order of application."""

    def __post_init__(self) -> None:
        self.require_words("pipe", (part.strip() for part in self.pipe.split("+")), AUGMENT_PARTS)
        self.require_words("policy", self.policies, DIFFAUGMENT_PARTS)

    @property
    def policies(self) -> tuple[str, ...]:
        """The parts of ``policy``."""
        return tuple(part.strip() for part in self.policy.split(","))

    @property
    def start_p(self) -> float:
        """The probability that a run starts with."""
        default = {"none": 0.0, "ada": 0.0, "fixed": 0.2, "diffaugment": 1.0}[self.kind]
        return self.p if self.kind in ("ada", "fixed") and self.p is not None else default


def augment_transforms(pipe: str) -> tuple[str, ...]:
    """Transforms named by a valid ``pipe``, such as ``"blit+color"``, each once, in the order they are named."""
    parts = (AUGMENT_PARTS[part.strip()] for part in pipe.split("+"))
    return tuple(dict.fromkeys(name for names in parts for name in names))
