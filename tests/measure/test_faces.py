"""Identity as a metric: pairs by name or order, projections against their targets, faces within a set."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgkit.errors import InputError, MissingDependencyError, UsageError
from sgkit.inversion import ProjectSettings, project_files
from sgkit.measure import statistics
from sgkit.measure.faces import FaceExtractor
from sgkit.measure.task import MeasureConfig, MeasureResult, measure
from sgkit.metrics import identity
from sgkit.metrics.identity import within
from sgkit.metrics.values import MetricValue
from sgkit.model import Model

needs_faces = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("dlib", identity.PACKAGE)), reason="needs the extra 'faces'"
)


class Levels(FaceExtractor):
    """Descriptors that need no network: the mean of an image; a face is found in those that are not black."""

    def __init__(self, device: object = "cpu") -> None:
        self.device = torch.device("cpu")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.float().mean(dim=(1, 2, 3))
        return torch.stack([mean, *[torch.zeros(len(mean))] * 127, (mean > 0).float()], dim=1)


@pytest.fixture(autouse=True)
def levels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(statistics, "FaceExtractor", Levels)
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "cache"))


def folder(path: Path, levels: dict[str, int], size: int = 16) -> Path:
    for name, level in levels.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size, size, 3), level, np.uint8)).save(path / name)
    return path


def run(images: Path, data: Path | None, *names: str, **options: object) -> tuple[MetricValue, MeasureResult]:
    config = MeasureConfig(
        images=str(images),
        data=None if data is None else str(data),
        metrics=names or ("identity",),
        device="cpu",
        **options,  # type: ignore[arg-type]
    )
    result = measure(config)
    return result.metrics[0], result


def test_pairs_by_name_in_any_order_and_extension(tmp_path: Path) -> None:
    images = folder(tmp_path / "a", {"x/1.png": 100, "x/2.png": 50, "0.png": 7})
    data = folder(tmp_path / "b", {"0.bmp": 8, "x/2.bmp": 53, "x/1.bmp": 100, "unused.bmp": 0})
    found, result = run(images, data)
    assert found.value == pytest.approx((1 + 3 + 0) / 3)
    assert found.std == pytest.approx(np.std([1, 3, 0], ddof=1) / 3**0.5)
    assert sorted(found.details["distances"]) == [0, 1, 3]
    assert (found.num_images, found.num_data, found.details["same_person"]) == (3, 3, pytest.approx(1 / 3))
    assert result.data is not None
    assert result.data.path == str(data)


def test_pairs_by_order_where_names_differ(tmp_path: Path) -> None:
    images = folder(tmp_path / "a", {"1.png": 10, "2.png": 20})
    found, _ = run(images, folder(tmp_path / "b", {"p.png": 12, "q.png": 26}))
    assert found.details["distances"] == [2, 6]
    with pytest.raises(InputError, match=r"a has 2 images, and .*c 3. Pairs need a reference image of the same name"):
        run(images, folder(tmp_path / "c", {"p.png": 12, "q.png": 26, "r.png": 1}))


def test_images_without_a_face_are_counted(tmp_path: Path) -> None:
    images = folder(tmp_path / "a", {"1.png": 0, "2.png": 20})
    found, _ = run(images, images)
    assert found.notes[-2:] == ("no face found in 1 of 2 images", "no face found in 1 of 2 reference images")


def test_within_a_set(tmp_path: Path) -> None:
    images = folder(tmp_path / "a", {"1.png": 10, "2.png": 20, "3.png": 20})
    found, _ = run(images, None, "identity_within")
    assert (found.value, found.details["same_person"]) == (pytest.approx(20 / 3), pytest.approx(1 / 3))
    many = np.random.default_rng(0).normal(size=(1500, 4))
    expected = [np.linalg.norm(many - one, axis=1).sum() for one in many]
    assert within(many)[0] == pytest.approx(np.sum(expected) / (1500 * 1499), rel=1e-12)
    with pytest.raises(InputError, match="needs at least 2 images; given: 1"):
        within(many[:1])


def test_projections_against_their_targets(tmp_path: Path, tiny_model: Callable[..., Model]) -> None:
    photos = folder(tmp_path / "photos", {"1.png": 10, "2.png": 200})
    out = tmp_path / "out"
    project_files(tiny_model(), photos, out, ProjectSettings(steps=1, w_samples=10, loss="pixels"))
    found, result = run(out, None)
    assert result.data is not None
    assert (result.images.num_images, result.data.num_images) == (2, 2)
    wanted = [float(np.asarray(Image.open(out / name / "projection.png")).mean()) for name in "12"]
    assert found.details["distances"] == pytest.approx([abs(wanted[0] - 10), abs(wanted[1] - 200)], rel=1e-5)
    one, _ = run(out / "2", None)
    assert one.value == pytest.approx(found.details["distances"][1])
    again, _ = run(photos, out)  # as reference images, the targets
    assert again.value == 0


def test_pairs_need_reference_images_and_options_that_fit(tmp_path: Path) -> None:
    images = folder(tmp_path / "a", {"1.png": 10, "2.png": 20})
    with pytest.raises(UsageError, match=r"Missing option '--data': .*\(identity\)"):
        run(images, None)
    with pytest.raises(UsageError, match="'identity' are computed in fp32 only"):
        run(images, images, precision="bf16")
    found, _ = run(images, images, "identity", confidence=3)
    assert found.interval is None  # the two sides of a pair cannot be resampled one by one


# -------------------------------------------------------------------------------------------------- with dlib


@needs_faces
def test_the_extractor_finds_no_face_in_noise_and_takes_the_usual_place() -> None:
    noise = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)
    found = FaceExtractor()(noise)
    assert found.shape == (2, FaceExtractor.dim)
    assert found[:, -1].tolist() == [0, 0]
    torch.testing.assert_close(FaceExtractor()(noise[1:]), found[1:], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"16 pixels or more; these have 12x40 \(WxH\)"):
        FaceExtractor()(noise[..., :12])


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(statistics, "FaceExtractor", FaceExtractor)
    monkeypatch.setattr(identity, "PACKAGE", "a_package_that_is_not_there")
    identity.load_face_network.cache_clear()
    images = folder(tmp_path / "a", {"1.png": 10, "2.png": 20})
    with pytest.raises(MissingDependencyError, match=r"pip install 'stylegan-sgkit\[faces\]', or leave out .* metrics"):
        run(images, images)
