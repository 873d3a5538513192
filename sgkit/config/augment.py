"""Configuration of the augmentation that the discriminator sees images through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sgkit.config.base import Config, FieldError, require
from sgkit.errors import did_you_mean

AugmentKind = Literal["none", "ada", "fixed", "diffaugment"]

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
"""What :attr:`AugmentConfig.pipe` may name, and the transforms that each name stands for."""

DIFFAUGMENT_PARTS = ("color", "translation", "cutout")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Config):
    """Augmentation of everything that D sees, real or generated."""

    kind: AugmentKind = "none"
    """``ada``: transforms of ``pipe``, each with a probability p that follows D's overfitting; ``fixed``: the same with
    a p that stays; ``diffaugment``: the transforms of ``policy`` on every image."""
    pipe: str = "bgc"
    """Transforms of ``ada`` and ``fixed``: names from :data:`AUGMENT_PARTS` joined by ``+``, such as ``bgc`` or
    ``blit+color+cutout``."""
    p: float | None = None
    """Probability of each transform: the one of ``fixed`` (``None``: 0.2), or the one that ``ada`` starts from
    (``None``: 0, or what the model of ``--init`` was trained with last)."""
    target: float = 0.6
    """Mean sign of D's logits on real images that ``ada`` steers to."""
    interval: int = 4
    """Steps between two movements of p."""
    kimg: float = 500.0
    """Thousands of images in which p may go from 0 to 1."""
    policy: str = "color,translation,cutout"
    """Transforms of ``diffaugment``, separated by commas, in the order of application."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "interval": 1e9,
        "kimg": 1e9,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.p is None or 0 <= self.p <= 1, "p", self.p, "a probability between 0 and 1, or none")
        require(-1 < self.target < 1, "target", self.target, "a mean of signs, between -1 and 1")
        require(self.interval >= 1, "interval", self.interval, "1 or more")
        require(self.kimg > 0, "kimg", self.kimg, "above 0")
        augment_transforms(self.pipe)
        for part in self.policies:
            if part not in DIFFAUGMENT_PARTS:
                raise FieldError(f"policy is {self.policy!r}, with {part!r}. {did_you_mean(part, DIFFAUGMENT_PARTS)}")

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
    """Transforms named by ``pipe``, such as ``"blit+color"``, each once, in the order they are named.

    Raises:
        ConfigError: a part is unknown (the nearest known one is named).
    """
    names: dict[str, None] = {}
    for part in pipe.split("+"):
        if part.strip() not in AUGMENT_PARTS:
            raise FieldError(f"pipe is {pipe!r}, with {part.strip()!r}. {did_you_mean(part.strip(), AUGMENT_PARTS)}")
        names |= dict.fromkeys(AUGMENT_PARTS[part.strip()])
    return tuple(names)
