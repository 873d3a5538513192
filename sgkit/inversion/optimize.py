"""The search for the latents and noise maps of given pictures: StyleGAN2's projector (appendix D), in any space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sgkit.config.project import PRIOR_WEIGHTS, ProjectSettings
from sgkit.errors import NonFiniteImageError, TrainingError, UsageError
from sgkit.inversion.distributions import LatentDistribution
from sgkit.inversion.losses import Distance, distance_to, pixel_error, ssim
from sgkit.inversion.measures import loss_terms
from sgkit.inversion.noise import initial_maps, noise_penalty, normalize_maps
from sgkit.inversion.observe import Observation, checked_downscale, checked_mask
from sgkit.inversion.priors import Measured, Prior, prior_named
from sgkit.inversion.schedules import coarseness, exploration, learning_rate
from sgkit.inversion.spaces import PLACE, Point, SearchSpace, in_units, search_space, with_place
from sgkit.latents.spaces import Latents, Space
from sgkit.model import Branch, MapNoise, Model, finite, noise_source, walk
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.runtime.seeds import torch_generator


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What was found for N pictures; of all steps, the one with the least distance (and prior)."""

    space: Space
    """The space of ``values``."""
    values: Mapping[str, Tensor]
    """Latents as :class:`sgkit.latents.spaces.Latents` has them."""
    label: Tensor | None
    """[N, label_dim] where the space is z of a conditional model."""
    noise: dict[str, Tensor]
    """Layer name -> [N, 1, h, w]; empty where noise was not searched."""
    images: Tensor
    """[N, C, H, W], about -1 to 1."""
    distances: Tensor
    """[N]."""
    priors: Tensor
    """[N]: squared distances by the prior; 0 without one."""
    best_steps: Tensor
    """The steps that they were found in: int64 [N]."""
    num_steps: Tensor
    """Steps that each picture was searched for: int64 [N]."""
    history: Tensor
    """Distance at each step [steps, N], with the exploring noise on the latent; NaN after the picture was finished."""
    start_distances: Tensor
    """[N]: of where the search began."""
    pixel_errors: Tensor
    """[N]: mean squared error of ``images``, in the range of -1 to 1."""
    similarities: Tensor
    """[N]: structural similarity of ``images`` (SSIM)."""
    place: Tensor | None
    """[N, 3]: where the images of a StyleGAN3 are on the canvas, see :class:`sgkit.latents.spaces.Latents`."""
    terms: Mapping[str, Tensor]
    """Each term of the loss by itself, without its weight, of ``images``: [N] each."""

    @property
    def w(self) -> Tensor:
        """[N, w_dim], or [N, num_ws, w_dim] in w+."""
        return self.values["w"]

    def latents(self, **options: object) -> Latents:
        """What is saved; ``options`` are the other fields of :class:`sgkit.latents.spaces.Latents`."""
        kept = {"values": self.values, "label": self.label, "noise": self.noise, "place": self.place}
        return Latents(space=self.space, **kept, **options)  # type: ignore[arg-type]


def search(
    model: Model,
    targets: Tensor,
    settings: ProjectSettings | None = None,
    *,
    label: Tensor | None = None,
    mask: Tensor | None = None,
    start: Tensor | None = None,
    previous: Latents | None = None,
    precision: ResolvedPrecision = "fp32",
    on_step: Callable[[int, Tensor], None] | None = None,
    watch: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Projection:
    """Latents and noise maps whose pictures resemble ``targets`` [N, C, H, W] (-1 to 1), each searched for itself.

    Adam on the latent (from the middle of its distribution, with noise that dies down) and on all noise maps, whose
    autocorrelation is penalised and which are normalised after every step. Pictures of a batch do not influence each
    other; one that is finished early leaves it.

    Args:
        model: any; without a discriminator only for losses without ``features``.
        targets: of the model's own size and channels.
        settings: how to search.
        label: [1, label_dim], whose distribution is searched, in a conditional model.
        mask: [H, W] or [N, 1, H, W]: 1 where pictures are compared, 0 where they are free.
        start: w+ [N, num_ws, w_dim] to start from, of an encoder.
        previous: latents of the frame before, of the same space: where to start, and what ``settings.smooth`` keeps the
            latents close to.
        precision: of the networks' passes.
        on_step: called with the number of the step and the distances of the pictures that are searched [n].
        watch: called with the number of the step, the rows of ``targets`` that are searched [n], and their images.

    Raises:
        UsageError: the targets have another shape than the model's pictures, or are not finite; or a setting does not
            fit the model.
        TrainingError: a distance is not a number.
    """
    settings = settings or ProjectSettings()
    if not settings.steps or settings.zero_noise:  # noise maps are not searched
        settings = replace(settings, optimize_noise=False)
    expected = (model.config.image_channels, *model.image_size)
    if targets.ndim != 4 or tuple(targets.shape[1:]) != expected:
        raise UsageError(f"The model needs images of shape [N, {_comma(expected)}]; got {list(targets.shape)}.")
    if not bool(torch.isfinite(targets).all()):
        raise UsageError("The targets hold NaN or infinity. Give images whose values are numbers, from -1 to 1.")
    observation = Observation(
        mask=None if mask is None else checked_mask(mask, model.image_size, len(targets)).to(targets),
        downscale=checked_downscale(settings.downscale, model.image_size),
        grayscale=settings.grayscale,
    )
    distribution = LatentDistribution(model=model, samples=settings.w_samples, label=label)
    space = search_space(settings.space, distribution)
    found = _Search(
        model=model,
        targets=targets,
        settings=settings,
        observation=observation,
        space=with_place(space, model) if settings.optimize_place else space,
        prior=prior_named(settings.prior, distribution, settings.space),
        precision=precision,
    )
    found.begin(start, previous)
    for step in range(settings.steps):
        rows, distances = found.active, found.step(step)
        if watch is not None:
            watch(step, rows, found.drawn)
        if on_step is not None:
            on_step(step, distances)
        if not len(found.active):
            break
    return found.result(label)


@dataclass(kw_only=True)
class _Search:
    """A search under way: what is moved belongs to the pictures that are ``active``, what was best to all."""

    model: Model
    targets: Tensor
    settings: ProjectSettings
    observation: Observation
    space: SearchSpace
    prior: Prior | None
    precision: ResolvedPrecision
    history: list[Tensor] = field(default_factory=list)
    drawn: Tensor = field(default_factory=lambda: torch.empty(0))
    """The images of the last step."""

    @property
    def prior_weight(self) -> float:
        given = self.settings.prior_weight
        return PRIOR_WEIGHTS[self.settings.prior] if given is None else given

    @property
    def has_maps(self) -> bool:
        """Whether the noise maps are other ones than the model's."""
        return self.settings.optimize_noise or self.settings.zero_noise

    # ---------------------------------------------------------------------------------------- beginning

    def begin(self, start: Tensor | None, previous: Latents | None = None) -> None:
        """Place all pictures at their start."""
        count, settings = len(self.targets), self.settings
        self.active = torch.arange(count)
        self.factor = coarseness(0, settings)
        self.distance = self._distance()
        self.maps = initial_maps(self.model, count, settings.seed, zero=settings.zero_noise)
        self.anchor = None if previous is None else self.space.read(previous)
        self.point = self._started(start, count)
        if previous is not None and settings.optimize_noise:
            self.maps |= {name: maps.to(self.targets).clone() for name, maps in previous.noise.items()}
        self.generator = torch_generator(settings.seed, "project", "exploration")
        self._leaves()
        self.best_point = {name: value.detach().clone() for name, value in self.point.items()}
        self.best_maps = {name: noise.detach().clone() for name, noise in self.maps.items()}
        with torch.no_grad():
            self.start, penalties = (one.detach() for one in self.measured(self.point))
        self.best_distance = self.start.clone()
        self.best = self.start + penalties
        self.best_step = torch.zeros(count, dtype=torch.int64)
        self.reference, self.improved_at = self.best.clone(), torch.zeros(count, dtype=torch.int64)
        self.num_steps = torch.full((count,), settings.steps)

    def _started(self, start: Tensor | None, count: int) -> Point:
        if self.anchor is not None:
            return {name: value.expand(count, *value.shape[1:]).clone() for name, value in self.anchor.items()}
        if start is None:
            given = self.space.start
        elif self.space.at is None:
            raise UsageError("A search in z cannot start from w. Use --space w, w+, s or p.")
        else:
            given = self.space.at(start.to(self.targets.device))
        point = {name: value.expand(count, *value.shape[1:]).clone() for name, value in given.items()}
        return self._best_start(point) if self.settings.starts else point

    @torch.no_grad()
    def _best_start(self, point: Point) -> Point:
        """The best of ``point`` and of random latents, for each picture."""
        drawn = torch.randn(
            (self.settings.starts, self.model.config.z_dim),
            generator=torch_generator(self.settings.seed, "project", "starts"),
        )
        best = torch.stack(self.measured(point)).sum(dim=0)
        for z in drawn:
            tried = {name: value.expand_as(point[name]) for name, value in self.space.sampled(z[None]).items()}
            objective = torch.stack(self.measured(tried)).sum(dim=0)
            better = objective < best
            best = torch.where(better, objective, best)
            for name, value in tried.items():
                point[name][better] = value[better]
        return point

    def _leaves(self) -> None:
        """Make what is searched leaves of the graph, with a fresh optimizer."""
        for value in self.point.values():
            value.requires_grad_(True)
        searched = list(self.maps.values()) if self.settings.optimize_noise else []
        for noise in searched:
            noise.requires_grad_(True)
        self.optimizer = torch.optim.Adam([*self.point.values(), *searched], betas=(0.9, 0.999), lr=0.0)

    def _distance(self) -> Distance:
        """The distance to the targets of the active pictures, through what is observed of them."""
        observation = self.observation.of(self.active).coarser(self.factor)
        with torch.no_grad(), autocast(self.precision, self.model.device):
            distance = distance_to(observation(self.targets[self.active]), self.model, self.settings)
        return lambda images: distance(observation(images))

    # ------------------------------------------------------------------------------------------ drawing

    def draw(self, styles: Mapping[str, Tensor], maps: Mapping[str, Tensor]) -> Tensor:
        """The pictures of ``styles`` with noise ``maps``."""
        noise = MapNoise(maps) if self.has_maps else noise_source("const")
        branches = [Branch(self.model.generator.synthesis, styles, noise)]
        with autocast(self.precision, self.model.device):
            return finite(walk(branches)[0].image, branches)

    def measured(self, point: Point) -> tuple[Tensor, Tensor]:
        """Distances, and what is minimised beside them, [n] each, of a point with the noise maps as they are."""
        styles = self.space.styles(point)
        with autocast(self.precision, self.model.device):
            if self.settings.recompute and torch.is_grad_enabled():
                images = checkpoint(self.draw, styles, self.maps, use_reentrant=False)
            else:
                images = self.draw(styles, self.maps)
            distances = self.distance(images)
        self.drawn = images.detach()
        penalties = torch.zeros_like(distances)
        if self.prior is not None:
            penalties = penalties + self.prior_weight * self._prior(point, styles)
        if self.anchor is not None and self.settings.smooth:
            penalties = penalties + self.settings.smooth * self.space.change(point, self.anchor)
        return distances, penalties

    def _prior(self, point: Point, styles: Mapping[str, Tensor]) -> Tensor:
        """Squared distances by the prior [n]."""
        if self.prior is None:
            return torch.zeros(len(next(iter(point.values()))), device=self.targets.device)
        return self.prior(Measured(None if self.space.ws is None else self.space.ws(point), styles))

    # --------------------------------------------------------------------------------------------- steps

    def step(self, step: int) -> Tensor:
        """One step; the distances [n] of the active pictures before it."""
        settings = self.settings
        self._sharpen(coarseness(step, settings))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        tried = self._wandered(exploration(step, settings))
        try:
            distances, penalties = self.measured(tried)
        except NonFiniteImageError:
            if all(bool(torch.isfinite(value).all()) for value in tried.values()):
                raise
            raise _diverged(step, "the latent") from None
        if not torch.isfinite(distances).all():
            raise _diverged(step, "a distance")
        objective = distances + penalties
        self._keep(step, distances.detach(), objective.detach(), {name: one.detach() for name, one in tried.items()})
        of_maps = [noise_penalty(noise) for noise in self.maps.values() if noise.requires_grad]
        penalty = torch.stack(of_maps).sum() if of_maps else 0.0
        self.optimizer.zero_grad(set_to_none=True)
        (objective.sum() + settings.noise_weight * penalty).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if settings.optimize_noise:
            normalize_maps(self.maps)
        if settings.patience:
            self._finish(step)
        return distances.detach()

    def _wandered(self, deviations: float) -> Point:
        """The point with noise on it: one for all pictures, so that what is found for one does not depend on others."""
        wandered = {}
        for name, value in self.point.items():
            noise = torch.randn((1, *value.shape[1:]), generator=self.generator).to(value)
            wandered[name] = value + noise * (deviations * self.space.deviations[name])
        return wandered

    def _sharpen(self, factor: int) -> None:
        """Compare at another size from now on; what was best before is measured again."""
        if factor == self.factor:
            return
        self.factor = factor
        self.distance = self._distance()
        self.best[self.active] = torch.inf

    def _keep(self, step: int, distances: Tensor, objective: Tensor, tried: Point) -> None:
        """Remember what is better than all before."""
        rows, history = self.active, torch.full((len(self.targets),), torch.nan)
        history[rows] = distances.cpu().float()
        self.history.append(history)
        better = objective < self.best[rows]
        kept = rows[better.cpu()]
        self.best[kept], self.best_distance[kept] = objective[better], distances[better]
        self.best_step[kept] = step
        for name, value in tried.items():
            self.best_point[name][kept] = value[better]
        for name, noise in self.maps.items():
            self.best_maps[name][kept] = noise.detach()[better]
        improved = rows[(objective < self.reference[rows] * (1 - self.settings.improvement)).cpu()]
        self.reference[improved], self.improved_at[improved] = self.best[improved], step

    def _finish(self, step: int) -> None:
        """Finish pictures that no longer improve; the others continue as if those had not been there."""
        waited = step - self.improved_at[self.active]
        stays = (waited < self.settings.patience) | (self.factor > 1)
        if bool(stays.all()):
            return
        self.num_steps[self.active[~stays]] = step + 1
        moments = [
            {key: value[stays] if value.ndim else value for key, value in self.optimizer.state[leaf].items()}
            for group in self.optimizer.param_groups
            for leaf in group["params"]
        ]
        self.active = self.active[stays]
        self.point = {name: value.detach()[stays].clone() for name, value in self.point.items()}
        self.maps = {name: noise.detach()[stays].clone() for name, noise in self.maps.items()}
        self._leaves()
        leaves = [leaf for group in self.optimizer.param_groups for leaf in group["params"]]
        for leaf, moment in zip(leaves, moments, strict=True):
            self.optimizer.state[leaf] = moment
        if len(self.active):
            self.distance = self._distance()

    @torch.no_grad()
    def result(self, label: Tensor | None) -> Projection:
        """The best of all steps."""
        styles = self.space.styles(self.best_point)
        images = self.draw(styles, self.best_maps).float()
        seen, wanted = self.observation(images), self.observation(self.targets)
        return Projection(
            space=self.space.saved_as,
            values=self.space.values(self.best_point),
            label=None if label is None or self.space.saved_as != "z" else label.expand(len(images), -1),
            noise=self.best_maps if self.has_maps else {},
            images=images,
            distances=self.best_distance,
            priors=self._prior(self.best_point, styles),
            best_steps=self.best_step,
            num_steps=self.num_steps,
            history=torch.stack(self.history) if self.history else torch.empty(0, len(images)),
            start_distances=self.start,
            pixel_errors=pixel_error(images.clamp(-1, 1), self.targets),
            place=in_units(self.best_point[PLACE]) if PLACE in self.best_point else None,
            similarities=ssim(images.clamp(-1, 1), self.targets),
            terms=loss_terms(seen, wanted, self.model, self.settings),
        )


def _diverged(step: int, what: str) -> TrainingError:
    return TrainingError(
        f"The search diverged at step {step}: {what} is not a finite number. Lower the learning rate (--lr)."
    )


def _comma(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
