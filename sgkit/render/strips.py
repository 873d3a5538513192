"""Which style is where on a strip, and with what weight: the arithmetic of panoramas, without a network.

Lengths are counted in cells: columns of the first layers' canvas (rows, for a vertical strip). N styles share the
strip in equal parts. A branch of the walk carries several of them, one after the other: it changes its style where its
weight is 0 and no layer reaches over from where it is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sgkit.edits import joins
from sgkit.edits.shapes import linear_mix, smoothstep
from sgkit.errors import UsageError
from sgkit.model import Axis, Canvas, Side

_ROUNDING = 1e-9
"""How far a position may be off by the rounding of a division."""


Blend = Literal["smooth", "soat"]
"""How weights rise over a ramp: smoothstep, or linear from the ramp's first pixel to its last."""


class Share(NamedTuple):
    """Where one of the styles of a strip counts on a canvas, along the strip's axis."""

    place: int
    """Which style; on a ring counted on and on, so that -1 is the last one, a turn before."""
    first: int
    """First pixel of the tensor, margin included, where its weight is above 0."""
    weights: Tensor
    """From there on: float64 [n]."""

    @property
    def stop(self) -> int:
        """The pixel after the last one where its weight is above 0."""
        return self.first + len(self.weights)


@dataclass(frozen=True, kw_only=True)
class Strip:
    """``count`` styles in a row on a picture of ``length`` cells."""

    length: int
    count: int
    overlap: float = 0.5
    """Width of the ramp around a join, as a fraction of a style's part."""
    is_ring: bool = False
    """Whether the far edge meets the near one."""
    axis: Axis = "x"
    """``x``: from left to right; ``y``: from top to bottom."""
    reach: int = 1
    """Cells that no layer reaches across."""
    blend: Blend = "smooth"
    start: int = 0
    """First cell, where the strip is a part of a larger picture."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError("A panorama needs at least one image: give seeds or latents.")
        if not 0 <= self.overlap <= 1:
            raise UsageError(f"overlap is {self.overlap:g}; it must be between 0 (hard joins) and 1.")
        if self.is_ring and self.length < self.reach:
            raise UsageError(f"A ring of {self.length} cells is too short; it needs {self.reach} or more.")

    @property
    def joins(self) -> tuple[float, ...]:
        """Where two parts join, in cells; on a ring the last one is where it closes."""
        last = self.count if self.is_ring and self.count > 1 else self.count - 1
        return tuple(self.length * index / self.count for index in range(1, last + 1))

    @cached_property
    def branch_of(self) -> tuple[int, ...]:
        """Style -> the branch that carries it: the first one that is free there.

        Two branches serve any number of styles; a third is needed where parts are narrow, where ramps leave no plateau
        between them, and where a ring has an odd number of styles.
        """
        chosen: list[int] = []
        for style in range(self.count):
            taken = {chosen[other] for other in range(style) if self._are_close(style, other)}
            chosen.append(next(branch for branch in range(style + 1) if branch not in taken))
        return tuple(chosen)

    @property
    def num_branches(self) -> int:
        """How many branches the walk needs, and so how many times a plain strip it costs."""
        return max(self.branch_of) + 1

    def cells(self, canvas: Canvas) -> Tensor:
        """The cells of a canvas along the strip, int64: of each pixel where it has a margin, each once where not."""
        side = canvas.side(self.axis)
        each = side.frame_length // self.length  # pixels of a cell
        if canvas.margin == 0:
            return torch.arange(side.start // each, (side.start + side.length) // each)
        return torch.arange(side.start - canvas.margin, side.start + side.length + canvas.margin) // each

    def styles(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """The style that each branch has in each of ``cells`` (rising), and the middle of that style's part, in cells.

        Returns:
            int64 and float64, both [num_branches, len(cells)].
        """
        cells = cells if self.is_ring else cells.clamp(0, self.length - 1)
        styles = torch.zeros(self.num_branches, len(cells), dtype=torch.int64)
        turns = torch.zeros_like(styles)
        around = range(int(cells[0]) // self.length - 1, int(cells[-1]) // self.length + 2) if self.is_ring else (0,)
        for style, branch in enumerate(self.branch_of):
            first, stop = self._needed(style)
            for turn in around:
                start = turn * self.length
                needed = (cells >= first + start) & (cells < stop + start)
                styles[branch, needed], turns[branch, needed] = style, turn
        return styles, (styles.double() + 0.5) * self.length / self.count + turns * self.length

    def weights(self, positions: Tensor) -> Tensor:
        """The weight of each branch at each position, a fraction of the strip: float64 [num_branches, n]."""
        left, right, mix = joins(positions, self.count, overlap=self.overlap, is_ring=self.is_ring)
        branch_of = torch.tensor(self.branch_of)
        weights = torch.zeros(self.num_branches, len(positions), dtype=torch.float64)
        weights.scatter_add_(0, branch_of[left][None], (1 - mix)[None])
        return weights.scatter_add_(0, branch_of[right][None], mix[None])

    def shares(self, canvas: Canvas, *, by_turn: bool = False) -> list[Share]:
        """The styles that count anywhere on ``canvas``, in order. Their weights sum to 1 at every pixel.

        ``by_turn``: a single style is told from itself a turn further around a ring.
        """
        side = canvas.side(self.axis)
        first = side.start - canvas.margin - side.frame_start
        pixels = torch.arange(first, first + side.length + 2 * canvas.margin)
        if self.count == 1 and not (by_turn and self.is_ring):
            return [Share(0, 0, torch.ones(len(pixels), dtype=torch.float64))]
        if not self.is_ring:
            pixels = pixels.clamp(0, side.frame_length - 1)
        part = (pixels.double() + 0.5) * self.count / side.frame_length
        nearest = part.round()
        right, last = nearest.long(), self.count - 1
        if self.blend == "soat":
            mix = linear_mix(part, overlap=self.overlap, pixels=side.frame_length / self.count)
        elif self.overlap > 0:
            mix = smoothstep((part - nearest) / self.overlap + 0.5)
        else:
            mix = (part >= nearest).double()
        left, right = (places if self.is_ring else places.clamp(0, last) for places in (right - 1, right))
        found = []
        for place in sorted({*left.tolist(), *right.tolist()}):
            weights = (1 - mix) * (left == place) + mix * (right == place)
            counts = weights.nonzero()[:, 0]
            if len(counts):
                start, stop = int(counts[0]), int(counts[-1]) + 1
                found.append(Share(place, start, weights[start:stop]))
        return found

    @property
    def first_features(self) -> Strip:
        """How styles share the features that the first layers give: cut hard where the paper's own code does so."""
        return replace(self, overlap=0.0, blend="smooth") if self.blend == "soat" else self

    def middle(self, place: int) -> float:
        """The middle of a style's part, in cells."""
        return self.start + (place + 0.5) * self.length / self.count

    @property
    def side(self) -> Side:
        """The strip's frame on the canvas before the first layer."""
        return Side(self.start, self.length, self.start, self.length, self.is_ring)

    def weight_maps(self, canvas: Canvas) -> list[Tensor]:
        """The weights as :func:`sgkit.edits.weave` takes them."""
        rows = self.weights(canvas.positions(self.axis))
        return [row[None, :] if self.axis == "x" else row[:, None] for row in rows]

    def _needed(self, style: int) -> tuple[int, int]:
        """First and last (exclusive) cell in which a branch must have the style: its ramps and the reach around."""
        low = (2 * style - self.overlap) * self.length / (2 * self.count)
        high = (2 * (style + 1) + self.overlap) * self.length / (2 * self.count)
        # A canvas of half cells is the first to see an edge a quarter into its cell; finer ones reach less far.
        slack = _ROUNDING if self.overlap > _ROUNDING else -_ROUNDING  # on the foot of a ramp the weight is 0
        return math.floor(low + 0.25 + slack) - self.reach, math.ceil(high - 0.25 - slack) + self.reach

    def _are_close(self, style: int, other: int) -> bool:
        first, stop = self._needed(style)
        other_first, other_stop = self._needed(other)
        turns = (-1, 0, 1) if self.is_ring else (0,)
        return any(first < other_stop + t * self.length and other_first + t * self.length < stop for t in turns)
