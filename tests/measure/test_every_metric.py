"""Every metric that is listed gives its values, from a model of each kind, with stand-ins for the networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit import checkpoint
from sgkit.config.metrics import METRIC_ROWS
from sgkit.measure import task
from sgkit.measure.task import MeasureConfig, measure
from sgkit.metrics import features, image_distances
from sgkit.metrics.features import EXTRACTORS, ExtractorRecipe
from sgkit.model import Model
from tests.conftest import Colours

OWN_TESTS = ("identity",)
"""Networks whose metrics need photographs."""
OF_SET = [row for row in METRIC_ROWS if row.needs in ("data", "images") and row.network not in OWN_TESTS]


class Named(Colours):
    """The stand-in for one network; its first numbers are also classes."""

    def __init__(self, name: str, dim: int) -> None:
        self.name, self.content_id = name, f"colours of {name}"  # type: ignore[misc]
        self.dim = max(dim, 6)  # type: ignore[misc]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(super().__call__(images), (0, self.dim - 6))

    def logits(self, bank: np.ndarray) -> np.ndarray:
        return bank[:, :6]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    draw = np.random.default_rng(0)
    for number in range(24):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"data/{number}.png")
    return tmp_path / "data"


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, cheap_features: object) -> None:
    """Networks with more features than there are images, and distances that need no network."""
    for name in EXTRACTORS:
        if name not in ("pixels", "d"):
            recipe = ExtractorRecipe(dim=40, make=lambda device, tell, name=name: Named(name, 40))  # type: ignore[misc]
            monkeypatch.setitem(features.EXTRACTORS, name, recipe)
    for name in image_distances.DISTANCES:
        far = lambda a, b: (a.double() - b.double()).square().mean(dim=(1, 2, 3))  # noqa: E731
        monkeypatch.setitem(image_distances.DISTANCES, name, lambda device, tell, far=far: far)  # type: ignore[misc]


@pytest.mark.usefixtures("stand_ins")
def test_every_metric_of_images(tmp_path: Path, data: Path, tiny_model: Callable[..., Model]) -> None:
    checkpoint.save(tiny_model(), tmp_path / "model.safetensors")
    names = tuple(row.name for row in OF_SET)
    config = MeasureConfig(
        images=str(tmp_path / "model.safetensors"), data=str(data), metrics=names, num_images=32, cache=False
    )
    found = measure(config)
    assert [value.name for value in found.metrics] == [name for row in OF_SET for name in row.value_names]
    assert all(np.isfinite(value.value) for value in found.metrics)
    few = {value.metric for value in found.metrics if any(" of " in note for note in value.notes)}
    assert few == set(names)
    warned = {text.partition(":")[0] for text in found.warnings if "too few for the covariance" in text}
    assert warned == {row.name for row in OF_SET if row.method == "frechet" and row.network != "d"}


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("order", [1, -1])
def test_every_metric_of_generators(
    tmp_path: Path, tiny_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    def classify(images: torch.Tensor) -> Any:
        bright = 1 / (1 + np.exp(-images.float().mean(dim=(1, 2, 3)).numpy() + 128))
        return {"bright": np.stack([1 - bright, bright], axis=1)}

    monkeypatch.setattr(task, "load_classifier", lambda *_, **__: classify)
    checkpoint.save(tiny_model("stylegan3-t"), tmp_path / "model.safetensors")
    rows = [row for row in METRIC_ROWS if row.needs == "generator" or row.name == "ms_ssim"][::order]
    config = MeasureConfig(
        images=str(tmp_path / "model.safetensors"),
        metrics=tuple(row.name for row in rows),
        num_images=6,
        classifier="c",
        cache=False,
    )
    found = measure(config)
    assert [value.name for value in found.metrics] == [name for row in rows for name in row.value_names]
    assert all(np.isfinite(value.value) for value in found.metrics)
