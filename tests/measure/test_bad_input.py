"""Images, networks and caches that metrics cannot work with: what is said, and what is repaired."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.errors import InputError, SgkitError, UsageError, WeightsError
from sgkit.measure.task import MeasureConfig, MeasureResult, measure

pytestmark = pytest.mark.usefixtures("cheap_features")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return folder(tmp_path / "data", 12)


def folder(path: Path, num: int, *, mode: str = "RGB", same: bool = False) -> Path:
    path.mkdir()
    draw = np.random.default_rng(num)
    for index in range(num):
        pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels * 0 + 90 if same else pixels).convert(mode).save(path / f"{index:02}.png")
    return path


def run(images: Path, data: Path, *metrics: str, **options: Any) -> MeasureResult:
    return measure(MeasureConfig(images=str(images), data=str(data), device="cpu", metrics=metrics, **options))


@pytest.mark.parametrize(
    ("num", "metric", "message"),
    [
        (1, "fd_effnet", "few has 1 image; fd_effnet needs at least 2"),
        (1, "kd_effnet", "few has 1 image; kd_effnet needs at least 2"),
        (1, "ms_ssim", "few has 1 image; ms_ssim needs at least 2"),
        (3, "pr_effnet", "need at least 4 images on each side; given: 3"),
        (5, "prd_effnet", "needs 20 images on each side; given: 5"),
        (2, "dup_effnet", "3 or more images on each side; given: 2"),
        (20, "fd_inf_effnet", "needs at least 30 images; given: 20"),
    ],
)
def test_too_few_images(tmp_path: Path, data: Path, num: int, metric: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(folder(tmp_path / "few", num), data, metric)


def test_one_reference_image_is_too_few(tmp_path: Path, data: Path) -> None:
    with pytest.raises(InputError, match="few has 1 image; fd_effnet needs at least 2"):
        run(data, folder(tmp_path / "few", 1), "fd_effnet")


def test_one_sample_makes_no_interval(data: Path) -> None:
    with pytest.raises(UsageError, match=r"at least 2 sets of resampled images; 1 was given. Use --confidence 200"):
        run(data, data, "fd_effnet", confidence=1)


def test_images_without_variance_are_told(tmp_path: Path, data: Path) -> None:
    found = run(folder(tmp_path / "flat", 9, same=True), data, "fd_effnet", "kd_effnet", "pr_effnet")
    assert all(np.isfinite(value.value) for value in found.metrics)
    assert "no variance: the images are all the same" in found.metrics[0].notes
    assert found.metrics[2].value == 0  # precision


def test_grey_images_are_measured_as_grey_colours(tmp_path: Path, data: Path) -> None:
    grey = run(folder(tmp_path / "grey", 9, mode="L"), data, "fd_effnet")
    colours = folder(tmp_path / "colours", 9, mode="L")
    for path in colours.iterdir():
        Image.open(path).convert("RGB").save(path)
    assert grey.metrics[0].value == run(colours, data, "fd_effnet").metrics[0].value


def test_features_that_are_not_numbers(data: Path, monkeypatch: pytest.MonkeyPatch, cheap_features: Any) -> None:
    monkeypatch.setattr(cheap_features, "__call__", lambda self, images: torch.full((len(images), 6), torch.nan))
    for metric in ("fd_effnet", "kd_effnet"):
        with pytest.raises(InputError, match="Features contain NaN or infinity"):
            run(data, data, metric)


def test_weights_that_cannot_be_had_offline(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", offline)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(WeightsError, match=r"Network is unreachable.*Without a connection: get https://") as caught:
        run(data, data, "fid")
    assert "inception-2015-12-05" in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut", b"\0" * 500])
def test_a_damaged_cache_is_computed_again_and_repaired(data: Path, damage: bytes) -> None:
    first = run(data, data, "fd_effnet", "kd_effnet")
    files = sorted((Path(os.environ["SGKIT_CACHE"]) / "statistics").glob("*.npz"))
    assert len(files) == 2
    for path in files:
        path.write_bytes(damage)
    again = run(data, data, "fd_effnet", "kd_effnet")
    assert (again.metrics, again.data_from_cache) == (first.metrics, False)
    assert run(data, data, "fd_effnet", "kd_effnet").data_from_cache


def test_a_model_without_discriminator(tmp_path: Path, data: Path, tiny_model: Any) -> None:
    from sgkit import checkpoint

    model = tiny_model()
    model.discriminator = None
    checkpoint.save(model, tmp_path / "model.safetensors")
    with pytest.raises(SgkitError, match="discriminator"):
        run(tmp_path / "model.safetensors", data, "fd_d", num_images=4)
