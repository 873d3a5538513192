"""Spaces, priors, observations and losses, each against a plain float64 transcription of its definition."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from sgkit.config.project import SPACES, PriorName, SpaceName
from sgkit.errors import UsageError
from sgkit.inversion import LatentDistribution, ProjectSettings, search
from sgkit.inversion.losses import ms_ssim, ssim
from sgkit.inversion.observe import Observation
from sgkit.inversion.priors import Measured, prior_named
from sgkit.inversion.spaces import search_space, whitening
from sgkit.latents.spaces import to_styles
from sgkit.model import Branch, Model, build, noise_source, walk

ARCHITECTURES = ["progan", "stylegan1-f", "stylegan2-f", "stylegan2-b", "self-modulated", "stylegan3-t", "stylegan3-r"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tiny_config: Any) -> Model:
    return build(tiny_config("stylegan2-f"), seed=1)


@pytest.fixture
def distribution(model: Model) -> LatentDistribution:
    return LatentDistribution(model=model, samples=500)


def plain(tensor: Tensor) -> np.ndarray[Any, Any]:
    return tensor.double().numpy()


# ---------------------------------------------------------------------------------------------- spaces


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_space_of_every_architecture_comes_closer_or_says_why_not(
    tiny_config: Any, name: str, space: SpaceName
) -> None:
    model = build(tiny_config(name), seed=1)
    targets = model.synthesize(model.map(model.sample_z([3]))).clamp(-1, 1)
    settings = ProjectSettings(space=space, loss="pixels", steps=8, w_samples=50, optimize_noise=False)
    has_mapping = model.config.mapping.num_layers > 0
    if space in ("p", "p+") and not has_mapping:
        with pytest.raises(UsageError, match="undoes the leaky ReLU at the end of a mapping network"):
            search(model, targets, settings)
        return
    if space == "s" and not any(style.shape[1] for style in model.styles(model.map(model.sample_z(0))).values()):
        with pytest.raises(UsageError, match="has no styles"):
            search(model, targets, settings)
        return
    found = search(model, targets, settings)
    assert found.distances.item() < found.start_distances.item()
    latents = found.latents()
    with torch.no_grad():  # what was saved is what was drawn
        [state] = walk([Branch(model.generator.synthesis, to_styles(latents, model), noise_source("const"))])
    torch.testing.assert_close(state.image, found.images, rtol=1e-4, atol=1e-5)


def test_whitened_latents_are_normal(distribution: LatentDistribution) -> None:
    w = plain(distribution.w_samples)
    p = np.where(w < 0, w * 5, w)
    mean = p.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov((p - mean).T, bias=True))
    expected = np.abs((p - mean) @ axes / np.sqrt(variances))[:, ::-1]
    found = plain(whitening(distribution)(distribution.w_samples))
    np.testing.assert_allclose(np.abs(found), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(found.shape[1]), atol=1e-3)


@pytest.mark.parametrize("space", ["w", "w+", "p", "p+", "s"])
def test_a_space_contains_what_it_is_given(distribution: LatentDistribution, space: SpaceName) -> None:
    model = distribution.model
    ws = model.map(model.sample_z([5, 6]))
    found = search_space(space, distribution)
    assert found.at is not None
    expected = model.styles(ws)
    for name, style in found.styles(found.at(ws)).items():
        torch.testing.assert_close(style, expected[name], rtol=1e-4, atol=1e-4)


def test_the_statistics_are_kept_under_the_model_s_hash_and_not_believed_when_damaged(
    model: Model, tmp_path: Any
) -> None:
    first = LatentDistribution(model=model, samples=200).styles
    (file,) = (tmp_path / "cache" / "latents").iterdir()
    again = LatentDistribution(model=model, samples=200).styles
    assert all(torch.equal(first[name].covariance, one.covariance) for name, one in again.items())
    file.write_bytes(file.read_bytes()[:-100])
    mended = LatentDistribution(model=model, samples=200).styles
    assert all(torch.equal(first[name].mean, one.mean) for name, one in mended.items())
    other = build(model.config, seed=2)
    assert not torch.equal(LatentDistribution(model=other, samples=200).styles["b4_conv1"].mean, first["b4_conv1"].mean)


# ---------------------------------------------------------------------------------------------- priors


def transcribed(name: PriorName, model: Model, samples: np.ndarray[Any, Any], ws: np.ndarray[Any, Any]) -> list[float]:
    """Squared distances of w+ [N, num_ws, w_dim] by definition, from ``samples`` of w [n, w_dim]."""

    def styles(w: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        return {k: plain(v) for k, v in model.styles(torch.from_numpy(w).float()).items() if v.shape[1]}

    every, given = styles(np.repeat(samples[:, None], model.num_ws, axis=1)), styles(ws)
    found = []
    for index in range(len(ws)):
        total = 0.0
        if name in ("gaussian", "gaussian-layers"):
            for layer, values in every.items():
                offset = given[layer][index] - values.mean(axis=0)
                covariance = np.cov(values.T, bias=True)
                ridge = 1e-3 * covariance.trace() / len(covariance)
                if name == "gaussian":
                    total += sum(o * o / (v + ridge) for o, v in zip(offset, np.diag(covariance), strict=True))
                else:
                    total += offset @ np.linalg.inv(covariance + ridge * np.eye(len(covariance))) @ offset
        elif name == "gaussian-joint":
            values = np.concatenate(list(every.values()), axis=1)
            offset = np.concatenate([given[layer][index] for layer in every]) - values.mean(axis=0)
            covariance = np.cov(values.T, bias=True)
            ridge = 1e-3 * covariance.trace() / len(covariance)
            total = offset @ np.linalg.inv(covariance + ridge * np.eye(len(covariance))) @ offset
        elif name == "p":
            p, q = (np.where(x < 0, x * 5, x) for x in (samples, ws[index]))
            inverse = np.linalg.inv(np.cov(p.T, bias=True))
            total = float(np.mean([(one - p.mean(axis=0)) @ inverse @ (one - p.mean(axis=0)) for one in q]))
        elif name == "mean":
            total = float(np.mean([((one - samples.mean(axis=0)) ** 2).sum() for one in ws[index]]))
        else:
            total = sum(((one - ws[index][0]) ** 2).sum() for one in ws[index][1:])
        found.append(float(total))
    return found


@pytest.mark.parametrize("name", [name for name in get_args(PriorName) if name != "none"])
def test_priors_are_their_definitions(distribution: LatentDistribution, name: PriorName) -> None:
    model = distribution.model
    ws = model.map(model.sample_z([7, 8])) + torch.randn(2, model.num_ws, model.config.w_dim) * 0.1
    prior = prior_named(name, distribution, "w+")
    assert prior is not None
    found = prior(Measured(ws, model.styles(ws)))
    expected = transcribed(name, model, plain(distribution.w_samples), plain(ws))
    np.testing.assert_allclose(found.tolist(), expected, rtol=2e-3)


@pytest.mark.parametrize("name", ["gaussian", "gaussian-layers", "gaussian-joint", "p", "mean", "delta"])
def test_gradients_of_priors_are_finite_differences(distribution: LatentDistribution, name: PriorName) -> None:
    model = distribution.model
    prior = prior_named(name, distribution, "w+")
    assert prior is not None
    generator = torch.Generator().manual_seed(0)
    ws = model.map(model.sample_z([11]))  # of which no number is near 0, where p has a kink
    ws = ws + torch.randn(ws.shape, generator=generator) * 0.02
    direction = torch.randn(ws.shape, generator=generator)
    leaf = ws.clone().requires_grad_(True)
    prior(Measured(leaf, model.styles(leaf))).sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    step = 1e-2
    ahead, behind = (
        prior(Measured(ws + s * direction, model.styles(ws + s * direction))).item() for s in (step, -step)
    )
    assert (leaf.grad * direction).sum().item() == pytest.approx((ahead - behind) / (2 * step), rel=2e-2)


@pytest.mark.parametrize(
    ("prior", "space", "message"),
    [
        ("p", "s", "styles .--space s. have none. Use a gaussian prior"),
        ("delta", "w", r"needs --space w\+ or p\+"),
        ("mean", "s", "prior mean measures w"),
    ],
)
def test_priors_that_do_not_fit_a_space_are_refused(
    distribution: LatentDistribution, prior: PriorName, space: SpaceName, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        prior_named(prior, distribution, space)


def test_a_prior_keeps_latents_likely(model: Model) -> None:
    targets = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1
    plain_settings = {"space": "s", "loss": "pixels", "steps": 40, "w_samples": 200, "optimize_noise": False}
    free = search(model, targets, ProjectSettings(prior="gaussian", prior_weight=0.0, **plain_settings))  # type: ignore[arg-type]
    kept = search(model, targets, ProjectSettings(prior="gaussian", prior_weight=1e-2, **plain_settings))  # type: ignore[arg-type]
    assert kept.priors.item() < free.priors.item() / 2
    assert kept.distances.item() > free.distances.item()


# ---------------------------------------------------------------------------------------- observation


def test_an_observation_sees_what_it_says() -> None:
    images = torch.rand(1, 3, 4, 4) * 2 - 1
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    seen = Observation(mask=mask)(images)
    assert torch.equal(seen[..., :2], images[..., :2])
    assert not seen[..., 2:].any()
    grey = Observation(grayscale=True)(images)
    expected = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    torch.testing.assert_close(grey, expected[:, None].expand(-1, 3, -1, -1))
    coarse = Observation(downscale=2)(images)
    assert coarse[0, 1, 2, 3].item() == pytest.approx(images[0, 1, 2:, 2:].mean().item())


def test_what_is_masked_does_not_matter(model: Model) -> None:
    targets = model.synthesize(model.map(model.sample_z([3]))).clamp(-1, 1)
    mask = torch.zeros(16, 16)
    mask[:, :8] = 1
    spoilt = targets.clone()
    spoilt[..., 8:] = -1
    quick = ProjectSettings(steps=6, w_samples=50, loss="features=1,pixels=10")
    found, same = (search(model, one, quick, mask=mask) for one in (targets, spoilt))
    assert torch.equal(found.w, same.w)
    assert not torch.equal(found.w, search(model, spoilt, quick).w)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(8, 8), r"has shape \[8, 8\]; it must be \[16, 16\]"),
        (torch.zeros(16, 16), "black everywhere"),
        (torch.full((16, 16), 2.0), "other numbers than 0"),
        (torch.full((16, 16), torch.nan), "other numbers than 0"),
    ],
)
def test_masks_that_cannot_be_used(model: Model, mask: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        search(model, torch.zeros(1, 3, 16, 16), ProjectSettings(steps=1, w_samples=20), mask=mask)


def test_a_downscale_must_divide_the_picture(model: Model) -> None:
    with pytest.raises(UsageError, match=r"downscale is 3, which does not divide 16x16\. Allowed: 1, 2, 4, 8, 16"):
        search(model, torch.zeros(1, 3, 16, 16), ProjectSettings(steps=1, w_samples=20, downscale=3))


# --------------------------------------------------------------------------------------------- losses


def transcribed_ssim(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    """Wang et al. 2004, in loops, of [H, W] from -1 to 1."""
    offsets = np.arange(11) - 5
    window = np.exp(-0.5 * (offsets / 1.5) ** 2)
    window = np.outer(window, window) / window.sum() ** 2
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb, ab = (
                (window * a * a).sum() - ma**2,
                (window * b * b).sum() - mb**2,
                (window * a * b).sum() - ma * mb,
            )
            c1, c2 = 0.02**2, 0.06**2
            found.append((2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(found))


def test_ssim_is_its_definition() -> None:
    x = torch.rand(1, 1, 16, 20, dtype=torch.float64) * 2 - 1
    y = (x + torch.randn(1, 1, 16, 20, dtype=torch.float64) * 0.2).clamp(-1, 1)
    assert ssim(x, y).item() == pytest.approx(transcribed_ssim(plain(x)[0, 0], plain(y)[0, 0]), abs=1e-4)
    assert ssim(x, x).item() == pytest.approx(1)
    assert ms_ssim(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)).shape == (2,)
    with pytest.raises(UsageError, match="ms-ssim needs images of 11 pixels or more"):
        ms_ssim(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("features=x", "weight 'x' of the loss features is not a number"),
        ("l1=-1", "weight of the loss l1 is -1; it must be 0 or more"),
        ("l1=0", "weighs nothing"),
        ("lpipz", r"loss is 'lpipz'\. Did you mean 'lpips'.*features=1,l1=0.5"),
    ],
)
def test_losses_that_do_not_exist_are_refused(loss: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ProjectSettings(loss=loss)


# ---------------------------------------------------------------------------------------------- search


def test_finished_pictures_leave_the_others_as_they_were(model: Model) -> None:
    targets = model.synthesize(model.map(model.sample_z([3, 4, 5]))).clamp(-1, 1)
    targets[1] = model.synthesize(model.generator.mapping.w_avg.expand(1, model.num_ws, -1))[0].clamp(-1, 1)
    options: dict[str, Any] = {"steps": 40, "w_samples": 50, "loss": "pixels", "optimize_noise": True}
    found = search(model, targets, ProjectSettings(patience=6, improvement=0.05, **options))
    assert len(set(found.num_steps.tolist())) > 1, "all ended together: the test shows nothing"
    for index in range(3):
        steps = int(found.num_steps[index])
        assert bool(found.history[:steps, index].isfinite().all())
        assert bool(found.history[steps:, index].isnan().all())
        alone = search(model, targets[index : index + 1], ProjectSettings(patience=6, improvement=0.05, **options))
        torch.testing.assert_close(alone.distances, found.distances[index : index + 1], rtol=5e-2, atol=1e-4)


def test_random_starts_begin_no_further_away(model: Model) -> None:
    targets = model.synthesize(model.map(model.sample_z([3, 4]))).clamp(-1, 1)
    begun = [
        search(model, targets, ProjectSettings(steps=1, w_samples=50, starts=starts, loss="pixels")).start_distances
        for starts in (0, 30)
    ]
    assert (begun[1] <= begun[0]).all()
    assert (begun[1] < begun[0]).any()


def test_recomputing_changes_nothing(model: Model) -> None:
    targets = model.synthesize(model.map(model.sample_z([3]))).clamp(-1, 1)
    kept, again = (
        search(model, targets, ProjectSettings(steps=4, w_samples=50, recompute=recompute)).w
        for recompute in (False, True)
    )
    torch.testing.assert_close(kept, again, rtol=1e-5, atol=1e-6)


def test_a_coarse_start_ends_at_full_size(model: Model) -> None:
    targets = model.synthesize(model.map(model.sample_z([3]))).clamp(-1, 1)
    found = search(model, targets, ProjectSettings(steps=12, w_samples=50, coarse=0.5, loss="pixels"))
    assert int(found.best_steps[0]) >= 6


def test_a_given_start_is_where_the_search_begins(model: Model) -> None:
    ws = model.map(model.sample_z([3]))
    targets = model.synthesize(ws)
    for space in ("w", "w+", "s", "p"):
        settings = ProjectSettings(space=space, steps=1, w_samples=50, loss="pixels", optimize_noise=False)
        assert search(model, targets, settings, start=ws).start_distances.item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(UsageError, match="z cannot start from w"):
        search(model, targets, ProjectSettings(space="z", steps=1, w_samples=20, loss="pixels"), start=ws)
