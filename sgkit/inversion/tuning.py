"""Pivotal tuning (Roich et al. 2021): the generator is moved until the latents of given images, the pivots, show them.

The latents stay as they are, so what edits them still does. Locality regularisation keeps the generator's other images:
between a pivot and random w, the images of before and after must agree (section 3.3 of the paper).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from sgkit.config.tune import TuneSettings
from sgkit.errors import TrainingError, UsageError
from sgkit.inversion.losses import Distance, distance_to
from sgkit.latents.spaces import Latents, to_styles, to_ws
from sgkit.model import Branch, MapNoise, Model, NoNoise, StoredNoise, finite, walk
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.runtime.seeds import torch_generator

LOCAL_PSI = 0.5
"""Truncation of the random w that locality is measured towards; that of the paper's code."""
_LARGEST_W_PLUS = 18 * 512
"""Numbers in the w+ of the model whose distances the paper gives."""


def tune(
    model: Model,
    latents: Latents,
    targets: Tensor,
    settings: TuneSettings | None = None,
    *,
    precision: ResolvedPrecision = "fp32",
    on_step: Callable[[int, float], None] | None = None,
) -> Model:
    """A copy of ``model`` whose synthesis network shows ``targets`` [N, C, H, W] (-1 to 1) for ``latents``.

    Args:
        model: any; without a discriminator only for losses without ``features``.
        latents: the pivots, with their noise maps, of any space.
        targets: what they shall show.
        settings: how to tune.
        precision: of the networks' passes; weights stay fp32.
        on_step: called with the number of the step and its mean distance.

    Raises:
        UsageError: latents and targets are not of one number, or do not fit the model.
        TrainingError: a distance is not a number.
    """
    job = Tuning(
        before=model, latents=latents, targets=targets, settings=settings or TuneSettings(), precision=precision
    )
    while job.done < job.total:
        losses = job.step()
        if on_step is not None:
            on_step(job.done - 1, losses["distance"])
    return job.result()


@torch.no_grad()
def shown(model: Model, latents: Latents, precision: ResolvedPrecision = "fp32") -> Tensor:
    """The images [N, C, H, W] of ``latents``, one by one."""
    parts = [latents[index] for index in range(len(latents))]
    return torch.cat([_draw(model, one, precision).float() for one in parts])


def _draw(model: Model, latents: Latents, precision: ResolvedPrecision) -> Tensor:
    styles = to_styles(latents, model)
    maps = {name: one.to(model.device, torch.float32) for name, one in latents.noise.items()}
    branches = [Branch(model.generator.synthesis, styles, MapNoise(maps) if maps else StoredNoise())]
    with autocast(precision, model.device):
        return finite(walk(branches)[0].image, branches)


@dataclass(kw_only=True)
class Tuning:
    """A tuning under way: the state after ``done`` steps, from which it continues to the same bits."""

    before: Model
    latents: Latents
    targets: Tensor
    settings: TuneSettings = field(default_factory=TuneSettings)
    precision: ResolvedPrecision = "fp32"
    done: int = 0
    after: Model = field(init=False)
    optimizer: torch.optim.Adam = field(init=False)
    is_whole: bool = field(init=False, default=True)
    """False while the weights are being moved: a state that was interrupted there cannot be continued."""

    def __post_init__(self) -> None:
        model, settings, count = self.before, self.settings, len(self.latents)
        if count != len(self.targets):
            raise UsageError(f"{count} latents and {len(self.targets)} images were given; each latent needs one image.")
        self.after = Model(
            config=model.config,
            generator=copy.deepcopy(model.generator),
            discriminator=model.discriminator,
            info=model.info.after_tuning(model.content_hash(), settings.to_dict()),
        )
        weights = list(self.moved.parameters())
        for weight in weights:
            weight.requires_grad_(True)
        self.optimizer = torch.optim.Adam(weights, lr=settings.lr, foreach=True)

    @property
    def total(self) -> int:
        """Steps of the whole tuning."""
        return self.settings.steps

    @property
    def moved(self) -> nn.Module:
        """The network whose weights are tuned."""
        return self.after.generator.synthesis

    def step(self) -> dict[str, float]:
        """Make one step; its mean distance."""
        distance, loss = self.losses(self.done)
        if not bool(torch.isfinite(loss)):
            raise TrainingError(
                f"The tuning diverged at step {self.done}: the loss is not a finite number. Lower the learning rate "
                "(--lr)."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.is_whole = False
        self.optimizer.step()
        self.done += 1
        self.is_whole = True
        return {"distance": distance}

    def result(self) -> Model:
        """The tuned model."""
        self.after.generator.requires_grad_(False)
        return self.after

    def losses(self, step: int) -> tuple[float, Tensor]:
        """The mean distance of the step's images to their targets, and the loss: that and what locality adds."""
        rows = self._rows(step)
        pivots = _picked(self.latents, rows)
        distance = self._distance(self.targets[rows])
        images = _draw(self.after, pivots, self.precision)
        with autocast(self.precision, self.after.device):
            loss = distance(images).mean()
        found = float(loss.detach())
        return found, loss + self.settings.locality * self._locality(step, pivots) if self.settings.locality else loss

    def _rows(self, step: int) -> list[int]:
        """Which pivots are seen: all, or a batch of them in an order that changes with every round."""
        count, batch = len(self.latents), min(self.settings.batch, len(self.latents))
        rows = []
        for position in range(step * batch, (step + 1) * batch):
            turn, place = divmod(position, count)
            order = torch.randperm(count, generator=torch_generator(self.settings.seed, "tune", "order", turn))
            rows.append(int(order[place]))
        return sorted(set(rows))

    def _distance(self, targets: Tensor) -> Distance:
        with torch.no_grad(), autocast(self.precision, self.before.device):
            return distance_to(targets, self.before, self.settings.likeness())

    def _locality(self, step: int, pivots: Latents) -> Tensor:
        """Mean distance between the images of before and after, at random places around a pivot."""
        with torch.no_grad():
            ws = self._places(step, pivots)
            noise = NoNoise()
            branches = [Branch(self.before.generator.synthesis, self.before.styles(ws), noise)]
            with autocast(self.precision, self.before.device):
                old = walk(branches)[0].image.float()
        distance = self._distance(old)
        with autocast(self.precision, self.after.device):
            new = walk([Branch(self.after.generator.synthesis, self.after.styles(ws), noise)])[0].image
            return distance(new).mean()

    def _places(self, step: int, pivots: Latents) -> Tensor:
        """w+ [samples, num_ws, w_dim] on the way from a pivot to random w; the random w where pivots have none."""
        model, settings = self.before, self.settings
        generator = torch_generator(settings.seed, "tune", "locality", step)
        z = torch.randn((settings.locality_samples, model.config.z_dim), generator=generator).to(model.device)
        label = None
        if model.config.label_dim:
            numbers = torch.randint(model.config.label_dim, (len(z),), generator=generator)
            label = torch.eye(model.config.label_dim)[numbers].to(model.device)
        ws = model.map(z if model.config.z_dim else None, label, truncation_psi=LOCAL_PSI)
        if pivots.space == "s":
            return ws
        pivot = to_ws(pivots[int(torch.randint(len(pivots), (1,), generator=generator))], model)
        way = ws - pivot
        length = way.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-12)
        reach = settings.locality_distance * math.sqrt(way[0].numel() / _LARGEST_W_PLUS)
        share: Tensor = (reach / length).clamp(max=1)
        return pivot + way * share


def _picked(latents: Latents, rows: list[int]) -> Latents:
    """The latents at ``rows``."""
    return replace(
        latents,
        values={name: value[rows] for name, value in latents.values.items()},
        label=None if latents.label is None else latents.label[rows],
        noise={name: maps if len(maps) == 1 else maps[rows] for name, maps in latents.noise.items()},
        names=tuple(latents.names[row] for row in rows) if latents.names else (),
    )
