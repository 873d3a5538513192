"""Who stands where on a woven canvas: the arithmetic of panoramas, without a network.

Lengths are counted in cells: columns of the first layers' canvas (rows, for a canvas woven along its height). N styles
share the strip in equal parts. A branch of the walk carries several of them, one after the other: it changes its style
where nobody looks, which is where its weight is 0 and no convolution reaches over from where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sgkit.config import ModelConfig
from sgkit.edits import Axis, joins
from sgkit.errors import UsageError

_ROUNDING = 1e-9
"""How far a position may be off by the rounding of a division."""


def reach(config: ModelConfig, *, kernel: int = 3) -> int:
    """How far a layer reaches over its input, in pixels of that input: upsampling filter and convolution together."""
    taps = len(config.synthesis.resample_filter)
    return max(kernel // 2, ((kernel + taps - 2) // 2 + 1) // 2)


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A canvas of ``length`` cells on which ``count`` styles stand in a row."""

    length: int
    count: int
    overlap: float = 0.5
    """Width of the ramp around a join, as a fraction of a style's part."""
    is_ring: bool = False
    """Whether the right edge meets the left one."""
    margin: int = 1
    """Cells that no layer reaches across (:func:`reach`)."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError("A panorama needs at least one image: give seeds or latents.")
        if not 0 <= self.overlap <= 1:
            raise UsageError(f"overlap is {self.overlap:g}; it must be between 0 (hard joins) and 1.")
        if self.is_ring and self.length < self.halo:
            raise UsageError(f"A ring of {self.length} cells is too short; it needs {self.halo} or more.")

    @property
    def halo(self) -> int:
        """Cells drawn beyond either end of a ring, and cut off again."""
        return self.margin if self.is_ring else 0

    @property
    def canvas(self) -> int:
        """Cells of the whole canvas, halos counted."""
        return self.length + 2 * self.halo

    @property
    def joins(self) -> tuple[float, ...]:
        """Where two parts join, in cells; on a ring the last one is where it closes."""
        last = self.count if self.is_ring and self.count > 1 else self.count - 1
        return tuple(self.length * index / self.count for index in range(1, last + 1))

    @cached_property
    def branch_of(self) -> tuple[int, ...]:
        """Style -> the branch that carries it: the first one that has nothing else in hand there.

        Two branches serve any number of styles; a third comes in where parts are narrow, where ramps leave no plateau
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

    @property
    def cells(self) -> Tensor:
        """The cells of the canvas, counted from where the strip begins: int64 [canvas]; halos lie outside of it."""
        return torch.arange(self.canvas) - self.halo

    def owners(self) -> Tensor:
        """Which style each branch has in each cell of the canvas: int64 [num_branches, canvas]."""
        cells = self.cells
        owners = torch.zeros(self.num_branches, self.canvas, dtype=torch.int64)
        for style, branch in enumerate(self.branch_of):
            first, stop = self._needed(style)
            for turn in (-1, 0, 1) if self.is_ring else (0,):
                start = turn * self.length
                owners[branch, (cells >= first + start) & (cells < stop + start)] = style
        return owners

    def weights(self, pixels: int) -> Tensor:
        """The weight of each branch in each pixel of a canvas ``pixels`` long: float64 [num_branches, pixels]."""
        scale = pixels / self.canvas
        positions = ((torch.arange(pixels, dtype=torch.float64) + 0.5) / scale - self.halo) / self.length
        left, right, mix = joins(positions, self.count, overlap=self.overlap, is_ring=self.is_ring)
        branch_of = torch.tensor(self.branch_of)
        weights = torch.zeros(self.num_branches, pixels, dtype=torch.float64)
        weights.scatter_add_(0, branch_of[left][None], (1 - mix)[None])
        return weights.scatter_add_(0, branch_of[right][None], mix[None])

    def weight_maps(self, axis: Axis) -> Callable[[tuple[int, int]], list[Tensor]]:
        """The weights as :func:`sgkit.edits.weave` takes them, for a strip along ``axis``."""

        def maps(size: tuple[int, int]) -> list[Tensor]:
            rows = self.weights(size[1] if axis == "x" else size[0])
            return [row[None, :] if axis == "x" else row[:, None] for row in rows]

        return maps

    def _needed(self, style: int) -> tuple[int, int]:
        """First and last (exclusive) cell in which a branch must have the style: its ramps and the margin around."""
        low = (2 * style - self.overlap) * self.length / (2 * self.count)
        high = (2 * (style + 1) + self.overlap) * self.length / (2 * self.count)
        # A canvas of half cells is the first to see an edge a quarter into its cell; finer ones reach less far.
        slack = _ROUNDING if self.overlap > _ROUNDING else -_ROUNDING  # on the foot of a ramp the weight is 0
        return math.floor(low + 0.25 + slack) - self.margin, math.ceil(high - 0.25 - slack) + self.margin

    def _are_close(self, style: int, other: int) -> bool:
        first, stop = self._needed(style)
        other_first, other_stop = self._needed(other)
        turns = (-1, 0, 1) if self.is_ring else (0,)
        return any(first < other_stop + t * self.length and other_first + t * self.length < stop for t in turns)
