"""One training step in its phases: G, G's path length, D, D's R1, moving average.

A phase accumulates gradients over shards of the batch, exchanges them once, checks them, and moves one network. Losses
are sums over images divided by the global count, so any split over shards and processes gives the same gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgkit.config import TrainConfig
from sgkit.errors import TrainingError
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.training.draws import Draws
from sgkit.training.ema import update_average
from sgkit.training.exchange import sum_over_processes
from sgkit.training.losses import d_logistic, g_nonsaturating, path_length_penalty, path_lengths, r1_penalty
from sgkit.training.mixing import mix_styles, mixing_cutoffs
from sgkit.training.schedules import ema_beta
from sgkit.training.state import TrainState

__all__ = ["Shard", "Steps"]

Sums = dict[str, Tensor]
"""What a shard adds up: ``"loss"`` (with its graph), and values to report, each summed over the shard's images."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Images that are in memory at once."""

    images: Tensor
    """Real images [n, C, H, W] in [-1, 1]."""
    labels: Tensor | None
    numbers: Sequence[int]
    """Number of each image in the run; random draws hang on it."""

    def every(self, stride: int) -> Shard:
        """The images whose number divides by ``stride``: the same ones however the batch is split."""
        rows = [row for row, number in enumerate(self.numbers) if number % stride == 0]
        labels = None if self.labels is None else self.labels[rows]
        return Shard(images=self.images[rows], labels=labels, numbers=[self.numbers[row] for row in rows])


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The phases of training ``state`` by the recipe ``config``."""

    state: TrainState
    config: TrainConfig
    context: DistributedContext
    precision: ResolvedPrecision
    draws: Draws

    def run(self, shards: Sequence[Shard]) -> dict[str, float]:
        """Values to report after one whole step over ``shards``, this process's share of the global batch.

        Raises:
            TrainingError: a loss or gradient is not finite; the network it belongs to was not moved.
        """
        config, state = self.config, self.state
        values = self._g_main(shards)
        if config.pl_weight > 0 and state.step % config.pl_interval == 0:
            values |= self._g_path_length(shards)
        values |= self._d_main(shards)
        if config.r1_gamma > 0 and state.step % config.r1_interval == 0:
            values |= self._d_r1(shards)
        state.images += config.batch
        state.step += 1
        beta = ema_beta(batch=config.batch, images=state.images, ema_kimg=config.ema_kimg, ema_rampup=config.ema_rampup)
        update_average(state.model.generator, state.generator, beta=beta)
        return values

    # ------------------------------------------------------------------------------------------- phases

    def _g_main(self, shards: Sequence[Shard]) -> dict[str, float]:
        def sums(shard: Shard) -> Sums:
            ws, w = self._draw_ws("g", shard)
            logits = self._judge(self._synthesize("g", ws, shard), shard.labels)
            return {"loss": g_nonsaturating(logits).sum(), "w": w.detach().sum(dim=0), "sign": logits.sign().sum()}

        mapping = self.state.generator.mapping
        totals, norm = self._descend("g", shards, self.config.batch, sums)
        beta = mapping.config.w_avg_beta
        mapping.w_avg.copy_((totals["w"] / self.config.batch).lerp(mapping.w_avg, beta))
        return self._shown(totals, self.config.batch, {"loss": "loss_g", "sign": "sign_g"}) | {"grad_g": norm}

    def _g_path_length(self, shards: Sequence[Shard]) -> dict[str, float]:
        config, state = self.config, self.state
        first, stride = state.images, config.pl_batch_shrink
        count = len(range(first + -first % stride, first + config.batch, stride))

        def sums(shard: Shard) -> Sums:
            ws, _ = self._draw_ws("pl", shard)
            # Second derivatives stay in fp32: they square the rounding of the first ones.
            images = self.state.generator.synthesis(ws, noise=self.draws.noise("pl.noise", shard.numbers))
            noise = self.draws.pixel_normal("pl.direction", shard.numbers, images.shape[1:])
            lengths = path_lengths(images, ws, noise)
            penalty = path_length_penalty(lengths, state.pl_mean).sum()
            weight = config.pl_weight * config.pl_interval
            return {"loss": penalty * weight, "penalty": penalty.detach(), "length": lengths.detach().sum()}

        totals, norm = self._descend("g", [shard.every(stride) for shard in shards], count, sums, name="loss_pl")
        # The mean is moved after its use: penalties then do not hang on how the batch was split.
        state.pl_mean.lerp_(totals["length"] / count, config.pl_decay)
        shown = self._shown(totals, count, {"penalty": "loss_pl", "length": "pl_length"})
        return shown | {"grad_pl": norm, "pl_mean": float(state.pl_mean)}

    def _d_main(self, shards: Sequence[Shard]) -> dict[str, float]:
        def sums(shard: Shard) -> Sums:
            with torch.no_grad():
                ws, _ = self._draw_ws("d", shard)
                fakes = self._synthesize("d", ws, shard)
            fake, real = self._judge(fakes, shard.labels), self._judge(shard.images, shard.labels)
            shown = torch.stack([real.sum(), fake.sum(), real.sign().sum(), fake.sign().sum()]).detach()
            return {"loss": d_logistic(real, fake).sum(), "shown": shown}

        totals, norm = self._descend("d", shards, self.config.batch, sums)
        names = ("score_real", "score_fake", "sign_real", "sign_fake")
        shown = dict(zip(names, (totals["shown"] / self.config.batch).tolist(), strict=True))
        return self._shown(totals, self.config.batch, {"loss": "loss_d"}) | shown | {"grad_d": norm}

    def _d_r1(self, shards: Sequence[Shard]) -> dict[str, float]:
        config = self.config

        def sums(shard: Shard) -> Sums:
            images = shard.images.detach().requires_grad_()
            logits = self._judge(images, shard.labels, precision="fp32")
            penalty = r1_penalty(images, logits, gamma=config.r1_gamma).sum()
            return {"loss": penalty * config.r1_interval, "penalty": penalty.detach()}

        totals, norm = self._descend("d", shards, config.batch, sums, name="loss_r1")
        return self._shown(totals, config.batch, {"penalty": "loss_r1"}) | {"grad_r1": norm}

    # --------------------------------------------------------------------------------------------- parts

    def _draw_ws(self, purpose: str, shard: Shard) -> tuple[Tensor, Tensor]:
        """w+ [n, num_ws, w_dim] with style mixing, and w [n, w_dim] before it."""
        generator, config = self.state.generator, self.config
        z_dim, count = self.state.model.config.z_dim, len(shard.numbers)
        if config.style_mixing_prob == 0:
            ws = generator.mapping(self.draws.normal(f"{purpose}.z", shard.numbers, [z_dim]), shard.labels)
            return ws, ws[:, 0]
        z = self.draws.normal(f"{purpose}.z", shard.numbers, [2, z_dim])
        labels = None if shard.labels is None else shard.labels.repeat(2, 1)
        ws, other = generator.mapping(z.transpose(0, 1).reshape(2 * count, z_dim), labels).chunk(2)
        uniform = self.draws.uniform(f"{purpose}.mixing", shard.numbers, [2])
        cutoffs = mixing_cutoffs(uniform, num_ws=ws.shape[1], probability=config.style_mixing_prob)
        return mix_styles(ws, other, cutoffs), ws[:, 0]

    def _synthesize(self, purpose: str, ws: Tensor, shard: Shard) -> Tensor:
        with autocast(self.precision, self.draws.device):
            noise = self.draws.noise(f"{purpose}.noise", shard.numbers)
            images: Tensor = self.state.generator.synthesis(ws, noise=noise)
            return images

    def _judge(self, images: Tensor, labels: Tensor | None, *, precision: ResolvedPrecision | None = None) -> Tensor:
        """Logits [n, 1] in the order of :func:`group_order`; consecutive images share a minibatch deviation."""
        order = group_order(len(images), self.state.model.config.discriminator.mbstd_group_size).to(images.device)
        with autocast(precision or self.precision, self.draws.device):
            logits: Tensor = self.state.discriminator(images[order], None if labels is None else labels[order])
            return logits

    def _descend(
        self, which: str, shards: Sequence[Shard], count: int, sums: Callable[[Shard], Sums], *, name: str = ""
    ) -> tuple[Sums, float]:
        """Move one network down its loss over ``count`` images; the sums over all of them, and the gradient's norm."""
        state = self.state
        network, optimizer = {
            "g": (state.generator, state.g_optimizer),
            "d": (state.discriminator, state.d_optimizer),
        }[which]
        parameters = list(network.parameters())
        network.requires_grad_(True)
        optimizer.zero_grad(set_to_none=True)
        totals: Sums = {}
        for shard in shards:
            if not shard.numbers:
                continue
            part = sums(shard)
            (part["loss"] / count).backward()  # type: ignore[no-untyped-call]
            totals = {key: value.detach() + totals.get(key, 0.0) for key, value in part.items()}
        network.requires_grad_(False)
        for parameter in parameters:
            if parameter.grad is None:  # untouched by a regularizer; Adam's moments decay as in a zero gradient
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        sum_over_processes([*gradients, *totals.values()], self.context)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        loss, length = torch.stack([totals["loss"] / count, norm]).tolist()
        self._check_finite(name or f"loss_{which}", loss, length)
        optimizer.step()
        return totals, length

    def _check_finite(self, name: str, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = name if not math.isfinite(loss) else f"the gradient of {name}"
        raise TrainingError(
            f"At {self.state.kimg:.3f} kimg (step {self.state.step}) {what} is not finite ({name} {loss:g}, gradient "
            f"norm {norm:g}). The last snapshot is untouched: resume from it with a lower learning rate "
            "(--resume --set train.g_lr=... --set train.d_lr=...) or a larger train.r1_gamma."
        )

    @staticmethod
    def _shown(totals: Sums, count: int, names: Mapping[str, str]) -> dict[str, float]:
        return {shown: float(totals[key]) / count for key, shown in names.items()}


def group_order(count: int, group_size: int | None) -> Tensor:
    """An order of ``count`` images in which groups of consecutive ones share a minibatch standard deviation.

    The discriminator groups images j, j + N/G, j + 2N/G ...; reordered, no group reaches over the border of a shard
    that holds whole groups, and all splits of a batch agree.
    """
    group = count if group_size is None else min(group_size, count)
    if count % group:
        return torch.arange(count)
    return torch.arange(count).reshape(-1, group).t().reshape(-1)
