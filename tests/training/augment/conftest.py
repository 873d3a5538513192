"""Random numbers and images for the pipeline, without a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sgkit.training.augment import AugmentRandom
from sgkit.training.augment.random import NORMALS, UNIFORMS
from sgkit.training.rng import Rng

DrawMaker = Callable[..., AugmentRandom]


@pytest.fixture
def draw() -> DrawMaker:
    """Numbers of ``count`` images; columns may be set, ``{"xflip.side": 0.9}``, uniform ones under their own names."""

    def make(
        count: int,
        size: tuple[int, int] = (16, 16),
        channels: int = 3,
        *,
        first: int = 0,
        uniforms: dict[str, float | Tensor] | None = None,
        normals: dict[str, float | Tensor] | None = None,
    ) -> AugmentRandom:
        run = Rng(seed=3, device=torch.device("cpu"))
        drawn = AugmentRandom.sample(run, "test", range(first, first + count), size, channels)
        for values, names, given in (
            (drawn.uniforms, UNIFORMS, uniforms or {}),
            (drawn.normals, NORMALS, normals or {}),
        ):
            for name, value in given.items():
                values[:, names.index(name)] = value
        return drawn

    return make


@pytest.fixture
def pictures() -> Callable[..., Tensor]:
    """Images [count, channels, height, width] in [-1, 1] of white noise, the same in any count."""

    def make(count: int, size: tuple[int, int] = (16, 16), channels: int = 3) -> Tensor:
        rows = [
            torch.rand(channels, *size, generator=torch.Generator().manual_seed(row)) * 2.0 - 1.0
            for row in range(count)
        ]
        return torch.stack(rows)

    return make
