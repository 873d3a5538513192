"""What a plan is made of: the specification of one layer. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sgkit.config import BASE_RESOLUTION

Kind = Literal["input", "conv", "rgb", "from_rgb", "head"]


@dataclass(frozen=True, kw_only=True)
class AliasFreeSpec:
    """Sampling of a StyleGAN3 layer; frequencies and rates in cycles and samples per image side."""

    in_rate: int
    out_rate: int
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    critical: bool
    """Critically sampled: its downsampling filter is separable in every configuration."""


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer of a plan: all that an edit may choose by, and all that its module is built from."""

    index: int
    """Position in the plan."""
    name: str
    """Unique in the plan and the same in every plan of the network: ``b8_conv0``."""
    kind: Kind
    """What the layer is for. G: ``input``, ``conv``, ``rgb``; D: ``from_rgb``, ``conv``, ``head``."""
    operator: str
    """The arithmetic that does it: a key of :data:`sgkit.model.layers.OPERATORS`."""
    resolution: int
    """Nominal resolution 4, 8, 16 ...: a name, not a size; the canvas is what arrives."""
    size: tuple[int, int]
    """Height and width of the output on the canonical canvas, margins included."""
    margin: int = 0
    """Pixels of the output beyond the picture at each edge (StyleGAN3)."""
    in_channels: int
    out_channels: int
    kernel: int = 3
    up: int = 1
    down: int = 1
    style_index: int | None = None
    """Which w of w+ drives the layer; ``None``: none does."""
    has_noise: bool = False
    closes_resolution: bool = False
    """Last of its resolution: here geometry may change without tearing the image."""
    merge: Literal["replace", "sum", "fade"] = "replace"
    """How an image joins: G's ``rgb`` onto the image so far, D's ``from_rgb`` onto the features so far."""
    fade: float = 0.0
    """Growing: the share of the coarser way, 0 to 1 (ProGAN, figure 2)."""
    enlarge: int = 1
    """Growing: how many times the image is repeated to reach its full size."""
    shortcut: Literal["open", "close"] | None = None
    """``open``: also computes the residual shortcut; ``close``: adds it."""
    alias_free: AliasFreeSpec | None = None

    @property
    def pixels(self) -> int:
        """Pixels along the shorter side of the picture at this layer, without margins."""
        return min(self.size) - 2 * self.margin

    @property
    def scale(self) -> int:
        """How many times as many pixels as its input, or as cells, the output has along a side."""
        if self.alias_free is None:
            return self.up
        before = BASE_RESOLUTION if self.kind == "input" else self.alias_free.in_rate
        return self.alias_free.out_rate // before


Plan = tuple[LayerSpec, ...]
"""A network's layers in the order in which they run."""


def plan_difference(one: Plan, other: Plan) -> str | None:
    """What first differs between two plans, in words; ``None`` when they are equal."""
    for a, b in zip(one, other, strict=False):
        if a != b:
            fields = [f"{name} {old!r} and {new!r}" for name, old, new in _field_differences(a, b)]
            return f"layer {a.index} ({a.name} and {b.name}): " + ", ".join(fields)
    if len(one) != len(other):
        longer, length = (one, len(other)) if len(one) > len(other) else (other, len(one))
        return f"layer {length} ({longer[length].name}) exists in one only"
    return None


def _field_differences(a: LayerSpec, b: LayerSpec) -> list[tuple[str, object, object]]:
    pairs = ((name, getattr(a, name), getattr(b, name)) for name in LayerSpec.__dataclass_fields__)
    return [(name, old, new) for name, old, new in pairs if old != new]
