from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sgkit.errors import InputError, UsageError
from sgkit.measure.statistics_files import is_statistics_file
from sgkit.measure.task import MeasureConfig, MeasureResult, measure
from tests.compare import other

pytestmark = pytest.mark.usefixtures("cheap_features")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    draw = np.random.default_rng(0)
    for name, num in (("few", 9), ("many", 20)):
        (tmp_path / name).mkdir()
        for index in range(num):
            pixels = draw.integers(0, 200 + num, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index:02}.png")
    return tmp_path / "few", tmp_path / "many"


def run(images: Path, data: Path | None = None, **options: Any) -> MeasureResult:
    where = None if data is None else str(data)
    return measure(MeasureConfig(images=str(images), data=where, device="cpu", cache=False, **options))


def features(folder: Path) -> np.ndarray:
    images = [np.asarray(Image.open(path)) / np.float32(255) for path in sorted(folder.iterdir())]
    return np.stack([np.concatenate([x.mean(axis=(0, 1)), x.std(axis=(0, 1), ddof=1)]) for x in images])


def test_saved_statistics_stand_for_the_images(folders: tuple[Path, Path], tmp_path: Path) -> None:
    few, many = folders
    file = tmp_path / "many.npz"
    saved = run(many, metrics=("fd_effnet", "kd_effnet"), save_statistics=str(file))
    assert saved.metrics == ()
    for images, data in ((few, many), (many, few)):
        expected = run(images, data).metrics
        names = {many: file}
        found = run(names.get(images, images), names.get(data, data))
        assert found.metrics == expected
    assert (found.images.kind, found.images.num_images, found.images.image_size) == ("statistics", 20, (8, 8))
    with pytest.raises(InputError, match="exists already"):
        run(many, metrics=("fd_effnet",), save_statistics=str(file))


def test_pytorch_fid_reads_what_sgkit_saves(folders: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "many.npz"
    run(folders[1], metrics=("fd_effnet",), save_statistics=str(file))
    bank = features(folders[1]).astype(np.float64)
    with np.load(file) as found:
        np.testing.assert_allclose(found["mu"], bank.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found["sigma"], np.cov(bank, rowvar=False), rtol=1e-4, atol=1e-9)
        origin = json.loads(str(found["sgkit"]))
    assert (origin["network"], origin["extractor"], origin["images"]["num_images"]) == ("effnet", "colours", 20)
    mean, covariance = other("pytorch_fid.fid_score").compute_statistics_of_path(str(file), None, 1, 6, "cpu", 0)
    assert (mean.shape, covariance.shape) == ((6,), (6, 6))


def foreign(folder: Path, form: str, bank: np.ndarray) -> Path:
    """Statistics as other projects save them."""
    mean, covariance = bank.mean(axis=0, dtype=np.float64), np.cov(bank.astype(np.float64), rowvar=False)
    path = folder / f"stats.{'npz' if form in ('pytorch-fid', 'clean-fid kid') else 'pkl'}"
    if form == "pytorch-fid":
        np.savez(path, mu=mean, sigma=covariance)
    elif form == "clean-fid kid":
        np.savez_compressed(path, feats=bank)
    elif form == "stylegan2":
        path.write_bytes(pickle.dumps((mean, covariance)))
    else:
        sums = bank.astype(np.float64)
        state = {
            "capture_all": form == "ada all",
            "capture_mean_cov": form == "ada",
            "max_items": None,
            "num_items": len(bank),
            "num_features": 6,
            "all_features": [bank[:7], bank[7:]] if form == "ada all" else [],
            "raw_mean": sums.sum(axis=0),
            "raw_cov": sums.T @ sums,
        }
        path.write_bytes(pickle.dumps(state))
    return path


@pytest.mark.parametrize(
    ("form", "metric", "knows_number"),
    [
        ("pytorch-fid", "fd_effnet", False),
        ("clean-fid kid", "kd_effnet", True),
        ("clean-fid kid", "fd_effnet", True),
        ("stylegan2", "fd_effnet", False),
        ("ada", "fd_effnet", True),
        ("ada all", "kd_effnet", True),
    ],
)
def test_statistics_of_other_projects(
    folders: tuple[Path, Path], tmp_path: Path, form: str, metric: str, knows_number: bool
) -> None:
    few, many = folders
    file = foreign(tmp_path, form, features(many))
    found, expected = run(few, file, metrics=(metric,)), run(few, many, metrics=(metric,))
    assert found.metrics[0].value == pytest.approx(expected.metrics[0].value, rel=1e-4, abs=1e-7)
    assert found.metrics[0].num_data == (20 if knows_number else None)
    assert any("does not say of which network and preprocessing" in text for text in found.warnings)


def test_what_does_not_fit_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    few, many = folders
    with pytest.raises(InputError, match=r"has no features of single images, which this metric needs"):
        run(few, foreign(tmp_path, "pytorch-fid", features(many)), metrics=("kd_effnet",))
    np.savez(tmp_path / "wide.npz", mu=np.zeros(7), sigma=np.eye(7))
    with pytest.raises(InputError, match=r"have 7 features; effnet has 6\. They are of another network"):
        run(few, tmp_path / "wide.npz")
    np.savez(tmp_path / "other.npz", mu=np.zeros(6), sigma=np.eye(6), sgkit=np.array('{"extractor": "other/1"}'))
    with pytest.raises(InputError, match=r"are of other/1; this metric needs colours"):
        run(few, tmp_path / "other.npz")
    with pytest.raises(InputError, match="statistics of a fixed number of images"):
        run(few, tmp_path / "wide.npz", num_data=5)
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x03cnumpy\nnothing\ncos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    with pytest.raises(InputError, match="nothing of it was run"):
        run(few, tmp_path / "evil.pkl")


ORIGIN = '{"images": {"image_size": [2], "kimg": 1}}'


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.full(6, np.nan), "sigma": np.eye(6)}, "they contain NaN or infinity"),
        ({"mu": np.zeros(6), "sigma": np.full((6, 6), np.inf)}, "they contain NaN or infinity"),
        ({"mu": np.zeros(6), "sigma": np.eye(5)}, "do not belong together"),
        ({"mu": np.zeros(6)}, "it has no 'sigma'"),
        ({"mu": np.array(["a"] * 6), "sigma": np.eye(6)}, "could not convert"),
        ({"mu": np.zeros(6), "sigma": np.triu(np.ones((6, 6)))}, "the covariance is not symmetric"),
        ({"mu": np.zeros(6), "sigma": -np.eye(6)}, "the covariance has negative variances"),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "num": -3}, "the number of images is -3"),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "num": np.inf}, "cannot convert float infinity"),
        ({"feats": np.zeros(6)}, "features have shape [[6]] instead of [images, numbers]"),
        (
            {"mu": np.zeros(6), "sigma": np.eye(6), "sgkit": "no JSON"},
            "'sgkit', which says what they are of, is damaged",
        ),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "sgkit": "[1]"}, "'sgkit', which says what they are of, is damaged"),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "sgkit": '{"images": 3}'}, "'sgkit', which says what"),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "sgkit": ORIGIN}, "'sgkit', which says what"),
    ],
)
def test_damaged_statistics_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        run(folders[0], tmp_path / "bad.npz", metrics=("fd_effnet",))
    assert "bad.npz cannot be read: " in str(caught.value)
    assert str(caught.value).endswith("--save-statistics FILE.npz")


def test_one_file_holds_one_network(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for metrics, name, message in (
        (("fd_effnet", "fid"), "a.npz", "given: 1 of images, and metrics of effnet, inception"),
        (("fd_effnet",), "a.pkl", r"Unsupported statistics file 'a\.pkl'"),
    ):
        with pytest.raises(UsageError, match=message):
            run(folders[0], metrics=metrics, save_statistics=name)


def test_other_files_are_not_statistics(tmp_path: Path) -> None:
    np.savez(tmp_path / "latent.npz", w=np.zeros(3))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"G_ema": 1}))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    assert not any(is_statistics_file(path) for path in [*tmp_path.iterdir(), tmp_path / "gone"])
