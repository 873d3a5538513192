"""One training step in its phases: G, G's path length, D, D's gradient penalties, moving average, augmentation.

A phase accumulates gradients over shards of the batch, exchanges them once, checks them, and moves one network. Losses
are sums over images divided by the global count, so any split over shards and processes gives the same gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from sgkit.config import TrainConfig
from sgkit.errors import NonFiniteError
from sgkit.model import MapNoise, follow_statistics, observed_statistics, tracking, used_ws
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.training.augment import Augmentation
from sgkit.training.discriminate import Judge, Verdict
from sgkit.training.ema import update_average
from sgkit.training.fakes import Fakes, WholeBatch, mixes_batch
from sgkit.training.losses import (
    d_loss,
    drift_penalty,
    g_loss,
    gradient_penalty,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from sgkit.training.mixing import mix_styles, mixing_cutoffs
from sgkit.training.optimizers import Descent, Shard, Sums, Term
from sgkit.training.rng import Draws
from sgkit.training.schedules import Stage, average_beta, blur_sigma
from sgkit.training.state import TrainState


@dataclass(frozen=True)
class Compiled:
    """The networks as ``torch.compile`` gives them; ``None``: they run as they are."""

    synthesis: Callable[..., Tensor] | None = None
    discriminator: Callable[..., Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The phases of one step of ``state`` by the recipe ``config``, at a stage of it."""

    state: TrainState
    config: TrainConfig
    stage: Stage
    context: DistributedContext
    precision: ResolvedPrecision
    draws: Draws
    skip_nonfinite: bool = False
    """Leave out updates that are not finite, and say so, instead of raising."""
    compiled: Compiled = field(default_factory=Compiled)
    events: list[str] = field(default_factory=list)
    """What happened beside training."""
    whole: dict[str, WholeBatch] = field(default_factory=dict)
    """For each purpose, fakes that are made for all shards at once."""

    def run(self, shards: Sequence[Shard]) -> dict[str, float]:
        """Values to report after one whole step over ``shards``, this process's share of the global batch.

        Raises:
            NonFiniteError: a loss or gradient is not finite; the network it belongs to was not moved.
        """
        config, state = self.config, self.state
        for player in state.players.values():
            player.set_lr_factor(self.stage.lr_factor * state.lr_factor)
        is_pl_due = config.pl_weight > 0 and state.step % config.pl_interval == 0
        is_penalty_due = config.penalizes_d and state.step % config.d_reg_interval == 0
        values = self.move_g(shards, main=True, path_length=is_pl_due and config.pl_interval == 1)
        if is_pl_due and config.pl_interval > 1:
            values |= self.move_g(shards, main=False, path_length=True)
        values |= self.move_d(shards, main=True, penalties=is_penalty_due and config.d_reg_interval == 1)
        if is_penalty_due and config.d_reg_interval > 1:
            values |= self.move_d(shards, main=False, penalties=True)
        state.images += self.stage.batch
        state.step += 1
        beta = average_beta(state.images, self.stage, state.model.config, config)
        update_average(state.model.generator, state.generator, beta=beta)
        return values | self._shown_state()

    # ---------------------------------------------------------------------------------------- generator

    def move_g(self, shards: Sequence[Shard], *, main: bool, path_length: bool) -> dict[str, float]:
        """One movement of G down its loss, its path length penalty, or both."""
        config, state, batch = self.config, self.state, self.stage.batch
        terms = []
        if main:
            terms = [Term(name="loss_g", shards=shards, count=batch, sums=self._g_sums, whole=self._whole("g", shards))]
        if path_length:
            stride = config.pl_batch_shrink
            first = state.images + -state.images % stride
            count = len(range(first, state.images + batch, stride))
            few = [shard.every(stride) for shard in shards]
            few = [Shard.joined(few)] if mixes_batch(state.model.config) else few
            terms.append(Term(name="loss_pl", shards=few, count=count, sums=self._path_length_sums))
        descent = self._descend("g", terms)
        if descent is None:
            return {}
        values = {("grad_g" if main else "grad_pl"): descent.norm}
        for term, totals in zip(terms, descent.totals, strict=True):
            if term.name == "loss_g":
                mapping = state.generator.mapping
                mapping.w_avg.copy_((totals["w"] / batch).lerp(mapping.w_avg, mapping.config.w_avg_beta))
                values |= _shown(totals, batch, {"loss": "loss_g", "sign": "sign_g", "classes": "class_g"})
            else:
                # The mean is moved after its use: penalties then do not depend on how the batch was split.
                state.pl_mean.lerp_(totals["length"] / term.count, config.pl_decay)
                values |= _shown(totals, term.count, {"penalty": "loss_pl", "length": "pl_length"})
                values["pl_mean"] = float(state.pl_mean)
        return values

    def _g_sums(self, shard: Shard) -> Sums:
        images, w = self._fakes("g", shard)
        fake = self._judge(images, shard, "g.augment")
        real = None
        if self.config.loss == "relativistic":
            with torch.no_grad():
                real = self._judge(shard.images, shard, "g.real.augment").logits
        loss = g_loss(self.config.loss, fake.logits, real).sum() + fake.class_loss * self.config.class_weight
        sums = {"loss": loss, "w": w.detach().sum(dim=0), "sign": fake.logits.detach().sign().sum()}
        return sums | self._class_sums(fake.class_loss)

    def _path_length_sums(self, shard: Shard) -> Sums:
        config = self.config
        ws, _ = self._draw_ws("pl", shard)
        if not ws.requires_grad:  # the mapping network is frozen
            ws = ws.detach().requires_grad_()
        # Second derivatives stay in fp32: they square the rounding of the first ones.
        images = self.state.generator.synthesis(ws, noise=self._noise("pl.noise", shard))
        noise = self.draws.pixel_normal("pl.direction", shard.numbers, images.shape[1:])
        lengths = path_lengths(images, ws, noise)
        penalty = path_length_penalty(lengths, self.state.pl_mean).sum()
        weight = config.pl_weight * config.pl_interval
        return {"loss": penalty * weight, "penalty": penalty.detach(), "length": lengths.detach().sum()}

    # ------------------------------------------------------------------------------------ discriminator

    def move_d(self, shards: Sequence[Shard], *, main: bool, penalties: bool) -> dict[str, float]:
        """One movement of D down its loss, its penalties, or both."""
        batch = self.stage.batch

        def sums(shard: Shard) -> Sums:
            return self._d_sums(shard, main=main, penalties=penalties)

        whole = self._whole("d", shards) if main or self._penalizes_fakes else None
        term = Term(name="loss_d" if main else "loss_d's penalties", shards=shards, count=batch, sums=sums, whole=whole)
        with tracking(self.state.generator.synthesis) if main else nullcontext():
            descent = self._descend("d", [term])
        if descent is None:
            return {}
        (totals,) = descent.totals
        if "statistics" in totals:
            follow_statistics(self.state.generator.synthesis, totals["statistics"] / batch)
        names = {"d": "loss_d", "drift": "loss_drift", "r1": "loss_r1", "r2": "loss_r2", "gp": "loss_gp"}
        values = _shown(totals, batch, names | {"classes": "class_d"})
        if main:
            self._steer_augmentation(float(totals["seen"][2]))
            values |= dict(
                zip(
                    ("score_real", "score_fake", "sign_real", "sign_fake"),
                    (totals["seen"] / batch).tolist(),
                    strict=True,
                )
            )
        return values | {("grad_d" if main else "grad_d_reg"): descent.norm}

    def _d_sums(self, shard: Shard, *, main: bool, penalties: bool) -> Sums:
        """D's loss and penalties over a shard; in one pass over the images where both are asked for."""
        config = self.config
        parts: Sums = {}
        fakes = self._draw_fakes(shard) if main or self._penalizes_fakes else shard.images
        if main or config.r1_gamma > 0:
            images = shard.images.detach().requires_grad_(penalties and config.r1_gamma > 0)
            real = self._judge(images, shard, "d.real.augment", exact=penalties)
            if images.requires_grad:
                parts["r1"] = r1_penalty(images, real.logits, gamma=self._per_full_pixel(config.r1_gamma)).sum()
        if main or (penalties and config.r2_gamma > 0):
            images = fakes.detach().requires_grad_(penalties and config.r2_gamma > 0)
            fake = self._judge(images, shard, "d.fake.augment", exact=penalties)
            if images.requires_grad:
                parts["r2"] = r1_penalty(images, fake.logits, gamma=self._per_full_pixel(config.r2_gamma)).sum()
        if penalties and config.gp_weight > 0:
            parts["gp"] = self._gradient_penalty(shard, fakes)
        weight = config.d_reg_interval if penalties else 1
        loss = torch.stack([part * weight for part in parts.values()]).sum() if parts else 0.0
        sums = {name: part.detach() for name, part in parts.items()}
        if main:
            part, more = self._d_main(real, fake)
            loss, sums = loss + part, sums | more
            statistics = observed_statistics(self.state.generator.synthesis)
            if statistics is not None:
                sums["statistics"] = statistics * len(shard.numbers)
        assert isinstance(loss, Tensor)
        return sums | {"loss": loss}

    def _d_main(self, real: Verdict, fake: Verdict) -> tuple[Tensor, Sums]:
        """D's loss on reals and fakes, and values to report."""
        config = self.config
        own = d_loss(config.loss, real.logits, fake.logits).sum()
        classes = real.class_loss + fake.class_loss
        loss, sums = own + classes * config.class_weight, {"d": own.detach()}
        if config.drift_weight > 0:
            drift = drift_penalty(real.logits).sum() * config.drift_weight
            loss, sums["drift"] = loss + drift, drift.detach()
        logits = [real.logits.detach(), fake.logits.detach()]
        sums["seen"] = torch.stack([*(x.sum() for x in logits), *(x.sign().sum() for x in logits)])
        return loss, sums | self._class_sums(classes)

    def _gradient_penalty(self, shard: Shard, fakes: Tensor) -> Tensor:
        shares = self.draws.uniform("d.gp", shard.numbers, [1, 1, 1])
        mixed = shard.images.lerp(fakes, shares).requires_grad_()
        verdict = self._judge(mixed, shard, "d.gp.augment", exact=True)
        scale = self._per_full_pixel(1.0) ** 0.5
        return gradient_penalty(mixed, verdict.logits, weight=self.config.gp_weight, scale=scale).sum()

    def _per_full_pixel(self, squares: float) -> float:
        """``squares`` of gradients by pixels of a grown size, as gradients by the repeated pixels of the full size."""
        return squares / float(4**self.stage.left_out)

    def _steer_augmentation(self, sign_sum: float) -> None:
        state = self.state
        state.augment = state.augment.after_step(self.config.augment, sign_sum=sign_sum, images=self.stage.batch)

    # --------------------------------------------------------------------------------------------- parts

    def _draw_ws(self, purpose: str, shard: Shard) -> tuple[Tensor, Tensor]:
        """w+ [n, num_ws, w_dim] with style mixing, and w [n, w_dim] before it."""
        generator, config = self.state.generator, self.config
        z_dim, count = self.state.model.config.z_dim, len(shard.numbers)
        if config.style_mixing_prob == 0 or generator.mapping.num_ws == 1:
            ws = generator.mapping(self.draws.normal(f"{purpose}.z", shard.numbers, [z_dim]), shard.labels)
            return ws, ws[:, 0]
        z = self.draws.normal(f"{purpose}.z", shard.numbers, [2, z_dim])
        labels = None if shard.labels is None else shard.labels.repeat(2, 1)
        ws, other = generator.mapping(z.transpose(0, 1).reshape(2 * count, z_dim), labels).chunk(2)
        uniform = self.draws.uniform(f"{purpose}.mixing", shard.numbers, [2])
        # Of the layers that there are so far: a cutoff among those still to come would mix nothing.
        used = used_ws(generator.synthesis.plan)
        cutoffs = mixing_cutoffs(uniform, num_ws=used, probability=config.style_mixing_prob)
        return mix_styles(ws, other, cutoffs), ws[:, 0]

    @torch.no_grad()
    def _draw_fakes(self, shard: Shard) -> Tensor:
        return self._fakes("d", shard)[0]

    def _fakes(self, purpose: str, shard: Shard) -> Fakes:
        """Generated images of a shard, and the w [n, w_dim] before style mixing."""
        whole = self.whole.get(purpose)
        return self._make(purpose, shard) if whole is None else whole.of(shard)

    def _make(self, purpose: str, shard: Shard) -> Fakes:
        ws, w = self._draw_ws(purpose, shard)
        return self._synthesize(purpose, ws, shard), w

    def _whole(self, purpose: str, shards: Sequence[Shard]) -> WholeBatch | None:
        """The fakes of all ``shards``, to be made together where the generator needs that."""
        if not mixes_batch(self.state.model.config):
            return None
        make = partial(self._make, purpose)
        self.whole[purpose] = WholeBatch(make if purpose == "g" else torch.no_grad()(make), shards)
        return self.whole[purpose]

    @property
    def _penalizes_fakes(self) -> bool:
        return self.config.r2_gamma > 0 or self.config.gp_weight > 0

    def _synthesize(self, purpose: str, ws: Tensor, shard: Shard) -> Tensor:
        compiled = self.compiled.synthesis
        network = self.state.generator.synthesis if compiled is None else compiled
        with autocast(self.precision, self.draws.device):
            images: Tensor = network(ws, noise=self._noise(f"{purpose}.noise", shard))
            return images

    def _noise(self, purpose: str, shard: Shard) -> MapNoise:
        return self.draws.noise(purpose, shard.numbers, self.state.generator.synthesis.plan)

    def _judge(self, images: Tensor, shard: Shard, purpose: str, *, exact: bool = False) -> Verdict:
        judge = Judge(
            discriminator=self.state.discriminator,
            compiled=self.compiled.discriminator,
            precision=self.precision,
            device=self.draws.device,
            augmentation=Augmentation(config=self.config.augment, draws=self.draws),
            augment_p=self.state.augment.p,
            blur_sigma=blur_sigma(self.state.images, sigma=self.config.d_blur_sigma, kimg=self.config.d_blur_kimg),
        )
        return judge(images, shard.labels, purpose=purpose, numbers=shard.numbers, exact=exact)

    def _class_sums(self, loss: Tensor) -> Sums:
        model = self.state.model.config
        has_classes = model.label_dim > 0 and model.discriminator.label_mode == "auxiliary"
        return {"classes": loss.detach()} if has_classes else {}

    def _descend(self, which: str, terms: Sequence[Term]) -> Descent | None:
        """What the terms came to, after moving a network down them; ``None`` where it was not moved."""
        state = self.state
        player, scale = state.players[which], state.loss_scales[which]
        descent = player.slope(terms, self.context, scale=scale.value)
        if self.precision == "fp16":
            state.loss_scales[which] = scale.after(overflow=descent.problem is not None)
        if descent.problem is None:
            player.optimizer.step()
            return descent
        where = f"At {state.kimg:.3f} kimg (step {state.step}) {descent.problem}"
        if self.precision == "fp16" and scale.value > 1:
            self.events.append(f"{where}: this update is left out, and losses are scaled by {scale.value / 2:g}.")
        elif self.skip_nonfinite:
            self.events.append(f"{where}: this update is left out.")
        else:
            raise NonFiniteError(
                f"{where}. The last snapshot is untouched: resume from it with a lower learning rate "
                "(--resume --set train.g_lr=... --set train.d_lr=...) or a larger train.r1_gamma."
            )
        return None

    def _shown_state(self) -> dict[str, float]:
        """Values of the state that change, to be shown."""
        state, values = self.state, dict[str, float]()
        if self.config.augment.kind == "ada":
            values["augment_p"] = state.augment.p
        if self.config.growth is not None:
            values |= {"lod": self.stage.lod, "batch": self.stage.batch}
        if self.precision == "fp16":
            values |= {f"scale_{name}": scale.value for name, scale in state.loss_scales.items()}
        if state.lr_factor != 1.0:
            values["lr_factor"] = state.lr_factor
        return values


def _shown(totals: Sums, count: int, names: Mapping[str, str]) -> dict[str, float]:
    return {shown: float(totals[key]) / count for key, shown in names.items() if key in totals}
