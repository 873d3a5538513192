from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import TrainingError, UsageError
from sgkit.inversion import (
    LatentDistribution,
    ProjectSettings,
    distance_to,
    exploration,
    feature_layers,
    features_distance,
    learning_rate,
    noise_penalty,
    pixel_error,
    search,
)
from sgkit.model import MapNoise, Model, NoNoise, build

QUICK = ProjectSettings(steps=12, w_samples=100)


def tiny(**options: object) -> Model:
    config = ModelConfig(
        image_size=(16, 16),
        z_dim=8,
        w_dim=8,
        mapping=MappingConfig(num_layers=2),
        synthesis=SynthesisConfig(channel_base=128, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=128, channel_max=8),
        **options,  # type: ignore[arg-type]
    )
    model = build(config, seed=1)
    for name, parameter in model.generator.synthesis.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.03)
    return model


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny()


@pytest.fixture(scope="module")
def targets(model: Model) -> torch.Tensor:
    return model.synthesize(model.map(model.sample_z([3, 4]))).clamp(-1, 1)


# ------------------------------------------------------------------------------------------- schedules


@given(st.integers(1, 2000), st.floats(0, 1))
def test_the_learning_rate_is_appendix_d_s(steps: int, part: float) -> None:
    step = min(int(part * steps), steps - 1)
    t = step / steps
    expected = 0.1 * min(1, t / 0.05) * (0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.25)))
    assert learning_rate(step, ProjectSettings(steps=steps)) == pytest.approx(expected)


@given(st.integers(1, 2000), st.floats(0, 1))
def test_the_noise_on_w_is_appendix_d_s(steps: int, part: float) -> None:
    step = min(int(part * steps), steps - 1)
    expected = 0.05 * max(0, 1 - step / steps / 0.75) ** 2
    assert exploration(step, ProjectSettings(steps=steps)) == pytest.approx(expected)


def test_schedules_without_ramps_are_flat() -> None:
    flat = ProjectSettings(steps=10, lr_rampup=0, lr_rampdown=0, noise_ramp=0)
    assert {learning_rate(step, flat) for step in range(10)} == {0.1}
    assert {exploration(step, flat) for step in range(10)} == {0.0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": -1}, "steps is -1; it must be 0 or more"),
        ({"lr": -1.0}, "lr is -1.0; it must be 0 or more"),
        ({"noise_ramp": 2.0}, "noise_ramp is 2.0; it must be between 0 and 1"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ProjectSettings(**values)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------- noise


def transcribed_penalty(noise: np.ndarray) -> float:
    """StyleGAN2, appendix D, in float64 and loops."""
    total = 0.0
    while True:
        height, width = noise.shape
        right = sum(noise[y, x] * noise[y, x - 1] for y in range(height) for x in range(width)) / (height * width)
        down = sum(noise[y, x] * noise[y - 1, x] for y in range(height) for x in range(width)) / (height * width)
        total += right**2 + down**2
        if min(height, width) <= 8:
            return total
        noise = 2 * np.array(
            [
                [noise[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in range(width // 2)]
                for y in range(height // 2)
            ]
        )


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (16, 16), (32, 48), (20, 36)])
def test_the_penalty_is_the_paper_s(size: tuple[int, int]) -> None:
    noise = np.random.RandomState(0).randn(3, 1, *size) + 0.2
    found = noise_penalty(torch.from_numpy(noise))
    np.testing.assert_allclose(found.numpy(), [transcribed_penalty(one[0]) for one in noise], rtol=1e-12)


def test_white_noise_is_penalised_far_less_than_a_picture() -> None:
    white = torch.from_numpy(np.random.RandomState(0).randn(1, 1, 64, 64))
    ramp = torch.linspace(-1.7, 1.7, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    assert noise_penalty(white) * 50 < noise_penalty(ramp)


# ------------------------------------------------------------------------------------------- distances


def test_distances_are_0_at_the_target_and_each_image_s_own(model: Model, targets: torch.Tensor) -> None:
    other = targets.flip(0)
    for loss in ("features", "pixels", "both"):
        distance = distance_to(targets, model, ProjectSettings(loss=loss))  # type: ignore[arg-type]
        torch.testing.assert_close(distance(targets), torch.zeros(2))
        assert (distance(other) > 0).all()
        alone = distance_to(targets[:1], model, ProjectSettings(loss=loss))  # type: ignore[arg-type]
        torch.testing.assert_close(distance(other)[:1], alone(other[:1]))


def test_features_are_compared_at_every_resolution_relative_to_the_target_s(
    model: Model, targets: torch.Tensor
) -> None:
    assert model.discriminator is not None
    assert feature_layers(model.discriminator) == ("b16_conv1", "b8_conv1")
    image = torch.zeros_like(targets)
    found = features_distance(targets, model.discriminator)(image)
    one, other = model.discriminator.features(image), model.discriminator.features(targets)
    expected = [
        sum(
            ((one[n][i] - other[n][i]).abs().mean() / other[n][i].abs().mean()).item()
            for n in ("b16_conv1", "b8_conv1")
        )
        / 2
        for i in range(2)
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_both_is_the_sum(model: Model, targets: torch.Tensor) -> None:
    image = targets * 0.5
    parts = [distance_to(targets, model, ProjectSettings(loss=loss))(image) for loss in ("features", "pixels")]  # type: ignore[arg-type]
    both = distance_to(targets, model, ProjectSettings(loss="both", pixel_weight=3.0))(image)
    torch.testing.assert_close(both, parts[0] + 3 * parts[1])


def test_a_model_without_discriminator_needs_the_pixel_loss(model: Model, targets: torch.Tensor) -> None:
    alone = Model(config=model.config, generator=model.generator)
    with pytest.raises(UsageError, match=r"no discriminator.*--loss pixels"):
        search(alone, targets, QUICK)
    found = search(alone, targets, ProjectSettings(loss="pixels", steps=2, w_samples=50))
    assert found.w.shape == (2, 8)


# ---------------------------------------------------------------------------------------------- search


@pytest.mark.parametrize("loss", ["features", "pixels"])
@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_picture_of_the_model_s_own_is_found_again(
    model: Model, targets: torch.Tensor, loss: str, space: str
) -> None:
    settings = ProjectSettings(steps=50, w_samples=200, loss=loss, space=space)  # type: ignore[arg-type]
    found = search(model, targets, settings)
    assert (found.distances < found.start_distances / 3).all()
    assert found.w.shape == ((2, 8) if space == "w" else (2, model.num_ws, 8))


def test_what_is_returned_is_what_was_drawn_at_the_best_step(model: Model, targets: torch.Tensor) -> None:
    found = search(model, targets, QUICK)
    ws = found.w[:, None].expand(-1, model.num_ws, -1)
    images = model.synthesize(ws, noise=MapNoise(found.noise))
    torch.testing.assert_close(found.images, images)
    torch.testing.assert_close(distance_to(targets, model, QUICK)(images), found.distances)
    torch.testing.assert_close(found.pixel_errors, pixel_error(images.clamp(-1, 1), targets))
    assert found.history.shape == (12, 2)
    for index in range(2):
        assert found.distances[index] == found.history[:, index].min()
        assert found.best_steps[index] == found.history[:, index].argmin()


def test_the_same_seed_finds_the_same_and_another_does_not(model: Model, targets: torch.Tensor) -> None:
    quick = {"steps": 5, "w_samples": 50}
    first, again, other = (
        search(model, targets, ProjectSettings(seed=seed, **quick)).images  # type: ignore[arg-type]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-4)


def test_pictures_of_a_batch_do_not_influence_each_other(model: Model, targets: torch.Tensor) -> None:
    quick = ProjectSettings(steps=8, w_samples=50)
    together, alone = search(model, targets, quick), search(model, targets[1:], quick)
    torch.testing.assert_close(together.w[1:], alone.w, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(together.distances[1:], alone.distances, rtol=1e-3, atol=1e-4)


def test_batches_of_any_size_are_searched(model: Model, targets: torch.Tensor) -> None:
    several = targets[:1].expand(6, -1, -1, -1)  # the minibatch deviation of D's head makes groups of 4
    found = search(model, several, ProjectSettings(steps=2, w_samples=50, loss="features", patience=1))
    torch.testing.assert_close(found.distances, found.distances[:1].expand(6), rtol=1e-3, atol=1e-4)


def test_noise_maps_stay_normal_and_may_be_left_alone(model: Model, targets: torch.Tensor) -> None:
    found = search(model, targets, ProjectSettings(steps=5, w_samples=50))
    noisy = [spec.name for spec in model.generator.synthesis.plan if spec.has_noise]
    assert list(found.noise) == noisy
    for name, noise in found.noise.items():
        assert noise.shape[:2] == (2, 1), name
        torch.testing.assert_close(noise.mean(dim=(1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)
        torch.testing.assert_close(noise.square().mean(dim=(1, 2, 3)), torch.ones(2), rtol=1e-4, atol=0)
    still = search(model, targets, ProjectSettings(steps=5, w_samples=50, optimize_noise=False))
    assert still.noise == {}
    ws = still.w[:, None].expand(-1, model.num_ws, -1)
    torch.testing.assert_close(still.images, model.synthesize(ws))
    silent = search(model, targets, ProjectSettings(steps=5, w_samples=50, zero_noise=True))
    assert list(silent.noise) == noisy
    assert not any(noise.any() for noise in silent.noise.values())
    ws = silent.w[:, None].expand(-1, model.num_ws, -1)
    torch.testing.assert_close(silent.images, model.synthesize(ws, noise=NoNoise()))
    assert not torch.allclose(silent.images, model.synthesize(ws))


def test_w_statistics_are_those_of_nvidia_s_samples(model: Model) -> None:
    z = torch.from_numpy(np.random.RandomState(123).randn(300, 8)).float()
    w = model.map(z)[:, 0].double()
    found = LatentDistribution(model=model, samples=300).w
    torch.testing.assert_close(found.mean, w.mean(dim=0).float())
    assert found.deviation == pytest.approx((w - w.mean(dim=0)).square().sum(dim=1).mean().sqrt().item())


def test_a_conditional_model_starts_from_its_label_s_mean() -> None:
    model = tiny(label_dim=3)
    label = model.one_hot([1])
    of_label, other = (
        LatentDistribution(model=model, samples=100, label=one).w.mean for one in (label, model.one_hot([2]))
    )
    assert not torch.allclose(of_label, other)
    targets = model.synthesize(model.map(model.sample_z([3]), label))
    found = search(model, targets, ProjectSettings(steps=2, w_samples=100), label=label)
    assert found.distances.shape == (1,)


def test_wrong_targets_and_divergence_are_told(model: Model, targets: torch.Tensor) -> None:
    with pytest.raises(UsageError, match=r"shape \[N, 3, 16, 16\]; got \[2, 1, 16, 16\]"):
        search(model, targets[:, :1], QUICK)
    for wrong in (math.nan, math.inf):
        with pytest.raises(UsageError, match="The targets hold NaN or infinity"):
            search(model, targets * wrong, QUICK)
    wild = ProjectSettings(steps=5, w_samples=50, lr=1e30, lr_rampup=0)
    with pytest.raises(TrainingError, match=r"at step \d: .* is not a finite number\. Lower .*--lr"):
        search(model, targets, wild)
