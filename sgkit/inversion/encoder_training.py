"""Training an encoder: on images that the model makes, whose w is known, and on real ones, by what they look like."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sgkit.config.encoder import EncoderSettings
from sgkit.config.project import ProjectSettings
from sgkit.errors import TrainingError, UsageError
from sgkit.inversion.losses import distance_to
from sgkit.model import Encoder, Model, new_encoder
from sgkit.model.encoder import sample_w
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.runtime.seeds import torch_generator

Supply = Callable[[int, int], Iterator[Tensor]]
"""(images, images taken before) -> endless batches of real images [n, C, H, W], -1 to 1."""
MEASURED = 64
"""Images that the report compares."""


@dataclass(kw_only=True)
class EncoderTraining:
    """A training under way: the state after ``images`` images, from which it continues to the same bits."""

    model: Model
    settings: EncoderSettings
    supply: Supply | None = None
    precision: ResolvedPrecision = "fp32"
    context: DistributedContext = field(default_factory=DistributedContext)
    """The processes that share the images of every step, each of which holds a training like this one."""
    images: int = 0
    encoder: Encoder = field(init=False)
    optimizer: torch.optim.Adam = field(init=False)
    is_whole: bool = field(init=False, default=True)
    """False while the weights are being moved: a state that was interrupted there cannot be continued."""

    def __post_init__(self) -> None:
        self._check_shares()
        rows = 1 if self.settings.space == "w" else self.model.num_ws
        self.encoder = new_encoder(self.model, rows=rows, seed=self.settings.seed)
        weights = list(self.encoder.parameters())
        self.optimizer = torch.optim.Adam(weights, lr=self.settings.lr, betas=(0.9, 0.99), foreach=True)
        self._real: Iterator[Tensor] | None = None
        loss = "both" if self.model.discriminator is not None else "pixels"
        self.likeness = ProjectSettings(loss=loss)

    def _check_shares(self) -> None:
        settings, world = self.settings, self.context.world_size
        unit = world if self.supply is None else 2 * world
        if settings.batch % unit:
            of_what = "half of a batch (with real images, --data)" if self.supply is not None else "a batch"
            fitting = max(settings.batch // unit, 1) * unit
            raise UsageError(
                f"{world} processes cannot share {of_what} of {settings.batch} images equally. Use --batch {fitting}."
            )

    @property
    def done(self) -> int:
        """Images seen."""
        return self.images

    @property
    def total(self) -> int:
        """Images of the whole training."""
        return max(math.ceil(self.settings.kimg * 1000 / self.settings.batch), 1) * self.settings.batch

    @property
    def is_finished(self) -> bool:
        """Whether all images were seen."""
        return self.images >= self.total

    def step(self) -> dict[str, float]:
        """The losses of one step."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * (0.5 + 0.5 * math.cos(math.pi * self.images / self.total))
        images, ws = self._batch()
        with autocast(self.precision, self.model.device):
            offsets = self.encoder.offsets(images).float()
        found = self.encoder.middle + offsets * self.encoder.deviations
        parts = self._losses(images, ws, found, offsets)
        losses = torch.stack(list(parts.values()))
        told = self._mean(losses.detach())
        if not bool(torch.isfinite(told).all()):
            raise TrainingError(
                f"The encoder's training diverged after {self.images:,} images: the loss is not a finite number. "
                "Use a lower learning rate (in Python: EncoderSettings(lr=...)), or --precision fp32."
            )
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self._share_gradients()
        self.is_whole = False
        self.optimizer.step()
        self.images += settings.batch
        self.is_whole = True
        return dict(zip(parts, told.tolist(), strict=True))

    def _mean(self, values: Tensor) -> Tensor:
        """The mean over all processes."""
        world = self.context.world_size
        return values if world == 1 else self.context.all_reduce_sum(values.clone()) / world

    def _share_gradients(self) -> None:
        """Every process gets the gradients of the whole batch."""
        if self.context.world_size > 1:
            gradients = [weight.grad for weight in self.encoder.parameters() if weight.grad is not None]
            whole = self._mean(torch.cat([one.flatten() for one in gradients]))
            for own, part in zip(gradients, torch.split(whole, [one.numel() for one in gradients]), strict=True):
                own.copy_(part.view_as(own))

    def _losses(self, images: Tensor, ws: Tensor, found: Tensor, offsets: Tensor) -> dict[str, Tensor]:
        """What is minimised, in parts with their weights; ``ws`` are those of the first images."""
        settings, parts = self.settings, {}
        if len(ws) and settings.latent_weight:
            errors = (found[: len(ws)] - ws[:, None]) / self.encoder.deviations
            parts["w"] = settings.latent_weight * errors.square().mean()
        if settings.image_weight:
            with torch.no_grad(), autocast(self.precision, self.model.device):
                distance = distance_to(images, self.model, self.likeness)
            with autocast(self.precision, self.model.device):
                made = self.model.synthesize(found.expand(-1, self.model.num_ws, -1))
                parts["image"] = settings.image_weight * distance(made).mean()
        if self.encoder.rows > 1 and settings.delta_weight:
            deltas = (offsets[:, 1:] - offsets[:, :1]) * self.encoder.deviations
            parts["delta"] = settings.delta_weight * deltas.square().sum(dim=(1, 2)).mean()
        return parts or {"none": offsets.sum() * 0}

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Images of a step, the model's own first (half of them if there are real ones), and w [n, w_dim] of these.

        Of several processes, each has an equal part of both.
        """
        batch = self.settings.batch
        num_real = 0 if self.supply is None else batch // 2
        ws, images = self.samples(batch - num_real, f"step {self.images}", shared=True)
        if self.supply is not None:
            if self._real is None:
                self._real = self.supply(num_real, self.images // batch * num_real)
            images = torch.cat([images, self._own(next(self._real)).to(images)])
        return images, ws

    def _own(self, rows: Tensor) -> Tensor:
        """This process's part of the rows of a step."""
        return rows.chunk(self.context.world_size)[self.context.rank]

    @torch.no_grad()
    def samples(self, count: int, name: str, *, shared: bool = False) -> tuple[Tensor, Tensor]:
        """w [count, w_dim] of the stream ``name``, and their images; ``shared``: this process's part of them."""
        model = self.model
        ws = sample_w(model, count, torch_generator(self.settings.seed, "encoder", name))
        ws = self._own(ws) if shared else ws
        with autocast(self.precision, model.device):
            return ws, model.synthesize(ws[:, None].expand(-1, model.num_ws, -1)).float()

    @torch.no_grad()
    def measured(self) -> dict[str, float]:
        """How well unseen images of the model are encoded: ``w``, in variances, where the mean w has 1; ``psnr``."""
        ws, images = self.samples(MEASURED, "measured")
        found = torch.cat([self.encoder(part) for part in torch.split(images, 16)])
        errors = ((found - ws[:, None]) / self.encoder.deviations).square().mean()
        spread = ((ws - self.encoder.middle) / self.encoder.deviations).square().mean()
        made = torch.cat([self.model.synthesize(part) for part in torch.split(found, 16)])
        mse = (made.float().clamp(-1, 1) - images.clamp(-1, 1)).square().mean(dim=(1, 2, 3)) / 4
        return {"w": float(errors / spread), "psnr": float((-10 * mse.clamp(min=1e-10).log10()).mean())}
