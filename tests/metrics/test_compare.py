"""The same features in other implementations: recorded values always, the packages themselves where installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sgkit.metrics import inception, networks
from sgkit.metrics.distances import frechet_distance, kernel_distance
from sgkit.metrics.inception import InceptionExtractor
from sgkit.metrics.manifold import precision_recall
from sgkit.metrics.scores import inception_score
from sgkit.metrics.statistics import FeatureStatistics, Gaussian
from tests.compare import other
from tests.metrics.random_networks import inception_state

SEED = 2020
"""torch-fidelity's."""
GOLDEN = {
    "fid": 2.621594241532705,
    "fid_pytorch": 2.6215942415326694,
    "kid": 0.31386172609868374,
    "kid_std": 0.04507630618150011,
    "is": 1.3545996422361934,
    "is_std": 0.020559250201540077,
    "precision": 0.476666659116745,
    "recall": 0.9285714030265808,
}
"""Of torch-fidelity 0.4.0 and pytorch-fid 0.3.0 (``fid_pytorch``) for :func:`features`."""


def features(shift: float = 0.4, num: int = 300, dim: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Generated and real features with correlated dimensions."""
    draw = np.random.RandomState(0)
    mix = draw.randn(dim, dim).astype(np.float32) / dim**0.5
    generated, real = (draw.randn(count, dim).astype(np.float32) @ mix for count in (num, num + 50))
    return np.maximum(generated + np.float32(shift), 0), np.maximum(real, 0)


def gaussian(bank: np.ndarray) -> Gaussian:
    found = FeatureStatistics(bank.shape[1], ["gaussian"])
    for part in np.array_split(bank, 3):
        found.update(torch.from_numpy(part))
    return found.gaussian()


def ours() -> dict[str, float]:
    generated, real = features()
    fid = frechet_distance(gaussian(generated), gaussian(real))
    kid = kernel_distance(generated, real, num_subsets=10, subset_size=100, seed=SEED)
    mean, std = inception_score(generated, shuffle_seed=SEED)
    assert kid.std is not None
    found = precision_recall(real, generated)
    return {
        "fid": fid,
        "fid_pytorch": fid,
        "kid": kid.mean,
        "kid_std": kid.std,
        "is": mean,
        "is_std": std,
        "precision": found.precision,
        "recall": found.recall,
    }


def theirs() -> dict[str, float]:
    generated, real = (torch.from_numpy(side) for side in features())
    fid, kid, isc, prc = (other(f"torch_fidelity.metric_{name}") for name in ("fid", "kid", "isc", "prc"))
    gen, ref = (fid.fid_features_to_statistics(side.double()) for side in (generated, real))
    of_kid = kid.kid_features_to_metric(
        generated.double(), real.double(), kid_subsets=10, kid_subset_size=100, rng_seed=SEED, verbose=False
    )
    of_isc = isc.isc_features_to_metric(generated, 10, True, SEED)
    precision, recall = prc.calculate_precision_recall_full(generated, real)
    pytorch_fid = other("pytorch_fid.fid_score").calculate_frechet_distance
    return {
        "fid": fid.fid_statistics_to_metric(gen, ref, False)["frechet_inception_distance"],
        "fid_pytorch": float(pytorch_fid(gen["mu"], gen["sigma"], ref["mu"], ref["sigma"])),
        "kid": of_kid["kernel_inception_distance_mean"],
        "kid_std": of_kid["kernel_inception_distance_std"],
        "is": of_isc["inception_score_mean"],
        "is_std": of_isc["inception_score_std"],
        "precision": precision,
        "recall": recall,
    }


def test_values_are_those_that_others_gave() -> None:
    assert ours() == pytest.approx(GOLDEN, rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_values_are_those_that_others_give() -> None:
    found = theirs()
    assert found == pytest.approx(ours(), rel=1e-6)
    assert found == pytest.approx(GOLDEN, rel=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num", [2, 4, 64, 1024])
@pytest.mark.parametrize("dim", [2, 8, 64])
def test_frechet_distances_of_torch_fidelitys_own_test(num: int, dim: int) -> None:
    """Its grid of sizes, singular covariances among them, with the random numbers of its test."""
    fid = other("torch_fidelity.metric_fid")
    draw = np.random.RandomState(2023)
    stats = [fid.fid_features_to_statistics(torch.tensor(draw.randn(num, dim))) for _ in range(2)]
    expected = fid.fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]
    found = frechet_distance(*(Gaussian(num=num, mean=one["mu"], covariance=one["sigma"]) for one in stats))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-5)  # theirs takes roots of rounding errors


def test_what_pytorch_fid_and_torch_fidelity_ask_of_themselves() -> None:
    """pytorch-fid: equal covariances, statistics of three grey images; torch-fidelity: a collapsed generator."""
    unit = np.eye(2048)
    sides = (Gaussian(num=9, mean=np.full(2048, at), covariance=unit) for at in (0.0, 1.0))
    assert frechet_distance(*sides) == pytest.approx(2048, rel=1e-12)

    found = FeatureStatistics(3, ["gaussian"])
    found.update(torch.tensor([0.0, 0.5, 1.0])[:, None].expand(3, 3))
    np.testing.assert_allclose(found.gaussian().mean, np.full(3, 0.5))
    np.testing.assert_allclose(found.gaussian().covariance, np.full((3, 3), 0.25))

    draw = torch.Generator().manual_seed(42)
    collapsed, real = torch.randn(200, 16, generator=draw) * 0.1, torch.randn(200, 16, generator=draw) * 3
    values = precision_recall(real.numpy(), collapsed.numpy())
    assert values.precision > 0.8
    assert values.recall < 0.3


# ------------------------------------------------------------------------------------------ the network


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights under the names of the published file."""
    return inception_state()


@pytest.fixture
def extractor(state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> Callable[..., InceptionExtractor]:
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    monkeypatch.setattr(networks, "load_tensors", lambda path: arrays)
    monkeypatch.setattr(inception, "fetch_weights", lambda *_, **__: "inception.pth")
    return InceptionExtractor


@pytest.mark.parametrize("size", [(32, 32), (70, 51), (299, 299), (400, 320)])
def test_clean_fids_resizing(size: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    resize = other("cleanfid.resize").make_resizer("PIL", False, "bicubic", (299, 299))
    expected = torch.from_numpy(resize(images[0].permute(1, 2, 0).numpy())).permute(2, 0, 1)
    found = inception.CleanInceptionExtractor.prepare(images)[0] * 128 + 128
    assert (found - expected).abs().max() < 1e-2  # of 255


@pytest.mark.filterwarnings("ignore")
def test_features_are_those_of_pytorch_fid(
    state: dict[str, torch.Tensor], extractor: Callable[..., InceptionExtractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = other("pytorch_fid.inception")
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *_, **__: state)
    images = torch.randint(0, 256, (1, 3, 70, 51), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = module.InceptionV3([3]).eval()(images.float() / 255)[0].flatten(1)
    found = inception.TorchInceptionExtractor()(images)
    assert (found - expected).norm() / expected.norm() < 1e-5


@pytest.mark.filterwarnings("ignore")
def test_features_are_those_of_torch_fidelity(
    state: dict[str, torch.Tensor], extractor: Callable[..., InceptionExtractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = other("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setattr(torch, "load", lambda *_, **__: state)
    reference = module.FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], "inception.pth")
    ours = extractor()
    draw = torch.Generator().manual_seed(1)
    for size in ((32, 32), (70, 51), (299, 299), (320, 400)):
        images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=draw)
        found, (expected, logits) = ours(images), reference(images)
        assert (found - expected).norm() / expected.norm() < 1e-5
        again = torch.from_numpy(ours.logits(found.numpy()))
        assert (again - logits).norm() / logits.norm() < 1e-5
