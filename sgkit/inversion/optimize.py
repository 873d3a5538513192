"""The search for the latents and noise maps of given pictures: StyleGAN2's projector (appendix D)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sgkit.errors import TrainingError, UsageError
from sgkit.inversion.losses import Distance, distance_to, pixel_error
from sgkit.inversion.noise import initial_maps, noise_penalty, normalize_maps
from sgkit.inversion.settings import ProjectSettings, exploration, learning_rate
from sgkit.model import MapNoise, Model
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.runtime.seeds import torch_generator

STATISTICS_SEED = 123
"""NVIDIA's projectors draw the latents behind mean and deviation of w from this seed."""


@dataclass(frozen=True)
class WStatistics:
    """The distribution of w."""

    mean: Tensor
    """[w_dim]."""
    deviation: float
    """Root of the mean squared distance from the mean."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What was found for N pictures; of all steps, the one with the least distance."""

    w: Tensor
    """[N, w_dim], or [N, num_ws, w_dim] in w+."""
    noise: dict[str, Tensor]
    """Layer name -> [N, 1, h, w]; empty where noise was not searched."""
    images: Tensor
    """[N, C, H, W], about -1 to 1."""
    distances: Tensor
    """[N]."""
    best_steps: Tensor
    """The steps that they were found in: int64 [N]."""
    history: Tensor
    """Distance at each step [steps, N], with the exploring noise on w."""
    start_distances: Tensor
    """[N]: of the mean of w."""
    pixel_errors: Tensor
    """[N]: mean squared error of ``images``, in the range of -1 to 1."""


def w_statistics(model: Model, *, samples: int, label: Tensor | None = None) -> WStatistics:
    """Mean and deviation of w over the latent distribution, for one ``label`` [1, label_dim] of a conditional model."""
    z = np.random.RandomState(STATISTICS_SEED).randn(samples, model.config.z_dim)
    found = []
    with torch.no_grad():
        for part in torch.split(torch.from_numpy(z).float(), 1000):
            given = None if label is None else label.expand(len(part), -1)
            found.append(model.map(part.to(model.device) if model.config.z_dim else None, given)[:, 0])
    w = torch.cat(found).double()
    mean = w.mean(dim=0)
    return WStatistics(mean.float(), (w - mean).square().sum(dim=1).mean().sqrt().item())


def search(
    model: Model,
    targets: Tensor,
    settings: ProjectSettings | None = None,
    *,
    label: Tensor | None = None,
    precision: ResolvedPrecision = "fp32",
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Projection:
    """Latents and noise maps whose pictures resemble ``targets`` [N, C, H, W] (-1 to 1), each searched for itself.

    Adam on w (from its mean, with noise that dies down) and on all noise maps, whose autocorrelation is penalised and
    which are normalised after every step. Pictures of a batch do not influence each other.

    Args:
        model: any; without a discriminator only for ``loss="pixels"``.
        targets: of the model's own size and channels.
        settings: how to search.
        label: [1, label_dim], whose mean of w is the start, in a conditional model.
        precision: of the networks' passes.
        on_step: called with the number of the step and the distances [N].

    Raises:
        UsageError: the targets have another shape than the model's pictures, or the discriminator is missing.
        TrainingError: a distance is not a number.
    """
    settings = settings or ProjectSettings()
    expected = (model.config.image_channels, *model.image_size)
    if targets.ndim != 4 or tuple(targets.shape[1:]) != expected:
        raise UsageError(f"The model needs images of shape [N, {_comma(expected)}]; got {list(targets.shape)}.")
    with autocast(precision, model.device):
        distance = distance_to(targets, model, settings)
    statistics = w_statistics(model, samples=settings.w_samples, label=label)
    rows = model.num_ws if settings.space == "w+" else 1
    found = _Found(model, distance, settings, statistics, precision, len(targets), rows)
    for step in range(settings.steps):
        distances = found.step(step)
        if on_step is not None:
            on_step(step, distances)
    return found.result(targets)


@dataclass
class _Found:
    """A search under way."""

    model: Model
    distance: Distance
    settings: ProjectSettings
    statistics: WStatistics
    precision: ResolvedPrecision
    count: int
    rows: int
    history: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.w = self.statistics.mean.expand(self.count, self.rows, -1).clone().requires_grad_(True)
        self.maps = initial_maps(self.model, self.count, self.settings.seed)
        searched = list(self.maps.values()) if self.settings.optimize_noise else []
        for noise in searched:
            noise.requires_grad_(True)
        self.optimizer = torch.optim.Adam([self.w, *searched], betas=(0.9, 0.999), lr=0.0)
        self.generator = torch_generator(self.settings.seed, "project", "exploration")
        self.best_w = self.w.detach().clone()
        self.best_maps = {name: noise.detach().clone() for name, noise in self.maps.items()}
        with torch.no_grad():
            self.start = self.distance(self.draw(self.w)).detach()
        self.best, self.best_step = self.start.clone(), torch.zeros(self.count, dtype=torch.int64)

    def draw(self, w: Tensor) -> Tensor:
        """The pictures of ``w`` with the noise maps as they are."""
        noise = MapNoise(self.maps) if self.settings.optimize_noise else "const"
        with autocast(self.precision, self.model.device):
            return self.model.synthesize(w.expand(-1, self.model.num_ws, -1), noise=noise)

    def step(self, step: int) -> Tensor:
        """One step; the distances [N] before it."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        scale = exploration(step, settings) * self.statistics.deviation
        # One noise for all pictures, so that what is found for one does not depend on the others.
        wander = torch.randn((1, self.rows, self.w.shape[2]), generator=self.generator).to(self.w) * scale
        tried = self.w + wander
        with autocast(self.precision, self.model.device):
            distances = self.distance(self.draw(tried))
        if not torch.isfinite(distances).all():
            raise TrainingError(
                f"The search diverged at step {step}: a distance is not a finite number. Lower the learning rate "
                "(--lr)."
            )
        self._keep(step, distances.detach(), tried.detach())
        penalties = [noise_penalty(noise) for noise in self.maps.values() if noise.requires_grad]
        penalty = torch.stack(penalties).sum() if penalties else 0.0
        self.optimizer.zero_grad(set_to_none=True)
        (distances.sum() + settings.noise_weight * penalty).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if settings.optimize_noise:
            normalize_maps(self.maps)
        return distances.detach()

    def _keep(self, step: int, distances: Tensor, tried: Tensor) -> None:
        """Remember what is better than all before."""
        self.history.append(distances.cpu())
        better = distances < self.best
        self.best = torch.where(better, distances, self.best)
        self.best_step = torch.where(better.cpu(), step, self.best_step)
        self.best_w[better] = tried[better]
        for name, noise in self.maps.items():
            self.best_maps[name][better] = noise.detach()[better]

    @torch.no_grad()
    def result(self, targets: Tensor) -> Projection:
        """The best of all steps."""
        self.maps = self.best_maps
        images = self.draw(self.best_w).float()
        return Projection(
            w=self.best_w if self.settings.space == "w+" else self.best_w[:, 0],
            noise=self.best_maps if self.settings.optimize_noise else {},
            images=images,
            distances=self.best,
            best_steps=self.best_step,
            history=torch.stack(self.history),
            start_distances=self.start,
            pixel_errors=pixel_error(images.clamp(-1, 1), targets),
        )


def _comma(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
