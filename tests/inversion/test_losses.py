"""Losses of projections: gradients, what is observed, other implementations, and networks that cannot be had."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.config.project import LOSSES, NETWORK_LOSSES
from sgkit.errors import MissingDependencyError, UsageError, WeightsError
from sgkit.inversion import ProjectSettings, distance_to, network_losses, search
from sgkit.inversion.losses import ms_ssim, ssim
from sgkit.inversion.network_losses import USUAL_PLACE, face_places, fetch_networks
from sgkit.inversion.observe import Observation
from sgkit.metrics import effnet, identity
from sgkit.metrics.identity import FaceNetwork
from sgkit.metrics.perceptual import PerceptualDistance, PerceptualName
from sgkit.model import Model, build
from sgkit.runtime.progress import ignore_progress
from tests.compare import other
from tests.metrics.random_networks import made_up, made_up_faces, pictures

SIDE = 32


@pytest.fixture(scope="module")
def model() -> Model:
    config = ModelConfig(
        image_size=(SIDE, SIDE),
        z_dim=8,
        w_dim=8,
        mapping=MappingConfig(num_layers=2),
        synthesis=SynthesisConfig(channel_base=128, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=128, channel_max=8),
    )
    return build(config, seed=1)


@cache
def perceptual(name: PerceptualName, dtype: torch.dtype) -> PerceptualDistance:
    return copy.deepcopy(made_up(name)).to(dtype)


@cache
def faces(dtype: torch.dtype) -> FaceNetwork:
    return made_up_faces().to(dtype)


@pytest.fixture(params=[torch.float32])
def networks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """Made-up networks of a number format, and faces in the usual place."""
    dtype: torch.dtype = request.param
    monkeypatch.setattr(network_losses, "perceptual_distance", lambda name, device: perceptual(name, dtype))
    monkeypatch.setattr(network_losses, "load_face_network", lambda device: faces(dtype))
    places = torch.tensor(USUAL_PLACE, dtype=dtype)
    monkeypatch.setattr(network_losses, "face_places", lambda images: places.expand(len(images), 2, 3))
    return dtype


def observation(dtype: torch.dtype = torch.float32) -> Observation:
    mask = torch.ones(1, 1, SIDE, SIDE, dtype=dtype)
    mask[..., : SIDE // 4] = 0
    return Observation(mask=mask, downscale=2, grayscale=True)


@pytest.mark.parametrize("networks", [torch.float64], indirect=True)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_differences(networks: torch.dtype, model: Model, loss: str) -> None:
    """Along one direction, through everything that may be observed, for each image of a batch."""
    wide, observed = copy.deepcopy(model).to(networks), observation(networks)
    images, targets = pictures(2, SIDE).to(networks), pictures(2, SIDE, 1.0).to(networks)
    direction = pictures(2, SIDE, 2.0).to(networks) + 0.3 * pictures(2, SIDE, 3.0).flip(3)
    distance = distance_to(observed(targets), wide, ProjectSettings(loss=loss))
    at = images.clone().requires_grad_(True)
    found = distance(observed(at))
    assert (found.shape, found.dtype) == ((2,), networks)
    (gradient,) = torch.autograd.grad(found.sum(), at)
    step = 1e-9  # made-up networks bend sharply
    with torch.no_grad():
        up, down = (distance(observed(images + sign * step * direction)) for sign in (1, -1))
    expected = (up - down) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(dim=(1, 2, 3)), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("loss", NETWORK_LOSSES)
def test_what_is_not_observed_does_not_count(networks: torch.dtype, model: Model, loss: str) -> None:
    targets, observed = pictures(2, SIDE), observation()
    distance = distance_to(observed(targets), model, ProjectSettings(loss=loss))
    hidden = targets.clone()
    hidden[..., : SIDE // 4] = 0.7
    assert distance(observed(hidden)).tolist() == pytest.approx([0, 0], abs=1e-6)
    other_one = distance(observed(-targets))
    assert (other_one > 1e-4).all()
    alone = distance_to(observed(targets[1:]), model, ProjectSettings(loss=loss))
    torch.testing.assert_close(alone(observed(-targets[1:])), other_one[1:], rtol=1e-3, atol=1e-6)


def test_networks_are_terms_of_weighted_sums(networks: torch.dtype, model: Model) -> None:
    targets, images = pictures(2, SIDE), pictures(2, SIDE, 1.0)
    parts = [
        distance_to(targets, model, ProjectSettings(loss=loss))(images) for loss in ("lpips-squeeze", "identity", "l1")
    ]
    both = distance_to(targets, model, ProjectSettings(loss="lpips-squeeze=2,identity=0.5,l1"))(images)
    torch.testing.assert_close(both, 2 * parts[0] + 0.5 * parts[1] + parts[2])


def test_a_search_by_a_network_comes_closer(networks: torch.dtype, model: Model) -> None:
    targets = model.synthesize(model.map(model.sample_z([3]))).clamp(-1, 1)
    found = search(model, targets, ProjectSettings(loss="lpips-squeeze", steps=30, w_samples=50))
    assert (found.distances < found.start_distances / 2).all()


# -------------------------------------------------------------------------------------- other implementations


def their_ssim(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """torchmetrics' SSIM and contrast [N], of windows within the image; its own SSIM counts those beyond, too."""
    measure = other("torchmetrics.functional.image").structural_similarity_index_measure
    options = {"data_range": 2.0, "reduction": "none"}
    _, whole = measure(images, targets, return_full_image=True, **options)
    _, contrast = measure(images, targets, return_contrast_sensitivity=True, **options)
    return whole[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)), contrast


@pytest.mark.parametrize("size", [24, 37])
def test_ssim_equals_torchmetrics(size: int) -> None:
    images, targets = pictures(2, size), pictures(2, size, 0.4)
    torch.testing.assert_close(ssim(images, targets), their_ssim(images, targets)[0], rtol=1e-5, atol=1e-6)


def test_ms_ssim_equals_torchmetrics_at_every_scale() -> None:
    images, targets = pictures(2, 176).double(), pictures(2, 176, 0.4).double()
    found, product = ms_ssim(images, targets), torch.ones(2).double()
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        whole, contrast = their_ssim(images, targets)
        product = product * (whole if scale == 4 else contrast) ** weight
        images, targets = (torch.nn.functional.avg_pool2d(one, 2) for one in (images, targets))
    torch.testing.assert_close(found, product, rtol=1e-9, atol=0)


# ------------------------------------------------------------------------------------------- what can go wrong


def test_small_models_are_told(networks: torch.dtype, model: Model) -> None:
    with pytest.raises(UsageError, match=r"lpips-alex needs images of 31 pixels or more; these have 16"):
        distance_to(pictures(1, 16), model, ProjectSettings(loss="lpips-alex"))


def test_weights_that_cannot_be_had_tell_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise WeightsError("No connection.")

    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path))
    monkeypatch.setattr("sgkit.weights.files.download", refuse)
    with pytest.raises(WeightsError, match=r"No connection.*sgkit weights add FILE.*--mirror.*--loss features"):
        fetch_networks(["pixels", "lpips"], ignore_progress)
    fetch_networks(["pixels", "features"], ignore_progress)


@pytest.mark.parametrize(("loss", "extra"), [("effnet", "offline"), ("identity", "faces")])
def test_packages_that_are_missing_are_told_before_the_search(
    monkeypatch: pytest.MonkeyPatch, loss: str, extra: str
) -> None:
    for module in (effnet, identity):
        monkeypatch.setattr(module, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(MissingDependencyError, match=rf"pip install 'stylegan-sgkit\[{extra}\]'"):
        fetch_networks([loss], ignore_progress)


def test_without_a_face_the_usual_place_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        def chip(self, picture: object) -> None:
            assert min(picture.size) == 256  # type: ignore[attr-defined]

    monkeypatch.setattr(network_losses, "_landmarker", Blind)
    found = face_places(pictures(2, 16))
    torch.testing.assert_close(found, torch.tensor(USUAL_PLACE).expand(2, 2, 3))
