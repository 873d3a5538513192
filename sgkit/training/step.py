"""One training step, in the papers' order: G, G's path lengths, D, D's gradient penalties, moving average.

Each update accumulates gradients over shards of the batch, sums them over processes once, checks them, and moves one
network. Losses are sums over images divided by the global count, so every split over shards and processes gives the
same gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sgkit.config import TrainConfig
from sgkit.errors import NonFiniteError
from sgkit.model import follow_statistics, observed_statistics, tracking, used_ws
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.training.augment import augmented, blurred
from sgkit.training.batches import Shard, group_order, mixes_batch
from sgkit.training.ema import update_average
from sgkit.training.losses import (
    class_loss,
    d_loss,
    drift_penalty,
    g_loss,
    gradient_penalty,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from sgkit.training.mixing import mix_styles, mixing_cutoffs
from sgkit.training.optimizers import gradients, optimize, set_lr_factor, trained_parameters
from sgkit.training.readings import Check, Readings
from sgkit.training.rng import Rng
from sgkit.training.schedules import Stage, average_beta, blur_sigma
from sgkit.training.state import TrainState
from sgkit.training.updates import BatchLoss, Moved, Sums

PhaseRunner = Callable[..., Readings]
"""Takes what :func:`called` takes."""


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """A step of ``state`` by the recipe ``config``, at a stage of it."""

    state: TrainState
    config: TrainConfig
    stage: Stage
    rng: Rng
    context: DistributedContext
    precision: ResolvedPrecision
    skip_nonfinite: bool = False
    """Leave out updates that are not finite, and say so, instead of raising."""
    waits: bool = True
    """Look at each loss before the update. Otherwise an update that is not finite leaves itself out, on the device,
    and whoever reads the step's values learns of it: nothing waits for the device before."""
    graphs: PhaseRunner | None = None
    """Runs the updates, from recorded graphs where it can; ``None``: they are called."""
    compiled_synthesis: Callable[..., Tensor] | None = None
    compiled_discriminator: Callable[..., Tensor] | None = None
    """Used where first derivatives suffice."""
    skipped: list[str] = field(default_factory=list)
    """A sentence for each update that was left out."""

    def run(self, shards: Sequence[Shard]) -> Readings:
        """What to report after one whole step over ``shards``, this process's share of the global batch.

        Raises:
            NonFiniteError: a loss or gradient is not finite; the network it belongs to was not moved.
        """
        config, state = self.config, self.state
        for optimizer in state.optimizers.values():
            set_lr_factor(optimizer, self.stage.lr_factor * state.lr_factor)
        is_pl_due = config.pl_weight > 0 and state.step % config.pl_interval == 0
        is_penalty_due = config.penalizes_d and state.step % config.d_reg_interval == 0

        update = called if self.graphs is None else self.graphs
        values = update(self, "update_g", shards, path_length=is_pl_due and config.pl_interval == 1)
        if is_pl_due and config.pl_interval > 1:  # lazy regularization
            values.join(update(self, "update_g", shards, adversarial=False, path_length=True))
        values.join(update(self, "update_d", shards, penalties=is_penalty_due and config.d_reg_interval == 1))
        if is_penalty_due and config.d_reg_interval > 1:
            values.join(update(self, "update_d", shards, adversarial=False, penalties=True))

        if "sign_real" in values.sums:
            sign_sum = values.sums["sign_real"][0]
            state.augment = state.augment.after_step(config.augment, sign_sum=sign_sum, images=self.stage.batch)
        state.images += self.stage.batch
        state.step += 1
        beta = average_beta(state.images, self.stage, state.model.config, config)
        update_average(state.model.generator, state.generator, beta=beta)
        values.known |= self._state_values()
        return values

    # ---------------------------------------------------------------------------------------- generator

    def update_g(self, shards: Sequence[Shard], *, adversarial: bool = True, path_length: bool) -> Readings:
        """Move G down its adversarial loss, its path length penalty, or the sum of both."""
        config, state, batch = self.config, self.state, self.stage.batch
        losses: list[BatchLoss] = []
        with gradients(state.optimizers["g"]):
            if adversarial:
                losses.append(self._loss("g", "loss_g", batch))
                for shard, fakes, w in self.generate("g", shards):
                    losses[-1].backward(*self._g_loss(shard, fakes, w))
            if path_length:
                stride = config.pl_batch_shrink
                few = [shard.every(stride) for shard in shards]
                few = [Shard.joined(few)] if mixes_batch(state.model.config) else few
                first = state.images + -state.images % stride
                losses.append(self._loss("g", "loss_pl", len(range(first, state.images + batch, stride))))
                for shard in few:
                    if shard.numbers:
                        losses[-1].backward(*self._path_length_loss(shard))
        moved = self._optimize("g", losses)
        if moved is None:
            return Readings()
        values = moved.readings("grad_g" if adversarial else "grad_pl")
        if adversarial:
            mapping, loss = state.generator.mapping, losses[0]
            if not (config.freeze_mapping and next(mapping.parameters(), None) is not None):
                moved.settle(mapping.w_avg, (loss.sums["w"] / batch).lerp(mapping.w_avg, mapping.config.w_avg_beta))
            values.join(loss.means(loss="loss_g", sign="sign_g", classes="class_g"))
        if path_length:
            # The mean is moved after its use: penalties then do not depend on how the batch was split.
            length = losses[-1].sums["length"] / losses[-1].count
            moved.settle(state.pl_mean, state.pl_mean.lerp(length, config.pl_decay))
            values.join(losses[-1].means(penalty="loss_pl", length="pl_length"))
            values.add("pl_mean", state.pl_mean.clone())
        return values

    def _g_loss(self, shard: Shard, fakes: Tensor, w: Tensor) -> tuple[Tensor, Sums]:
        logits, classes = self.discriminate(fakes, shard, "g.augment")
        reals = None
        if self.config.loss == "relativistic":
            with torch.no_grad():
                reals, _ = self.discriminate(shard.images, shard, "g.real.augment")
        loss = g_loss(self.config.loss, logits, reals).sum() + classes * self.config.class_weight
        return loss, {"w": w.detach().sum(dim=0), "sign": logits.detach().sign().sum(), **self._class_sums(classes)}

    def _path_length_loss(self, shard: Shard) -> tuple[Tensor, Sums]:
        config = self.config
        ws, _ = self.styles("pl", shard)
        if not ws.requires_grad:  # the mapping network is frozen
            ws = ws.detach().requires_grad_()
        # Second derivatives stay in fp32: they square the rounding of the first ones.
        synthesis = self.state.generator.synthesis
        images = synthesis(ws, noise=self.rng.noise("pl.noise", shard.numbers, synthesis.plan))
        noise = self.rng.pixel_normal("pl.direction", shard.numbers, images.shape[1:])
        lengths = path_lengths(images, ws, noise)
        penalty = path_length_penalty(lengths, self.state.pl_mean).sum()
        return penalty * (config.pl_weight * config.pl_interval), {"penalty": penalty, "length": lengths.sum()}

    # ------------------------------------------------------------------------------------ discriminator

    def update_d(self, shards: Sequence[Shard], *, adversarial: bool = True, penalties: bool) -> Readings:
        """Move D down its adversarial loss, its gradient penalties, or the sum of both."""
        config, state, batch = self.config, self.state, self.stage.batch
        loss = self._loss("d", "loss_d" if adversarial else "loss_d's penalties", batch)
        needs_fakes = adversarial or config.r2_gamma > 0 or config.gp_weight > 0
        synthesis = state.generator.synthesis
        with tracking(synthesis) if adversarial else nullcontext(), gradients(state.optimizers["d"]):
            for shard, fakes, _ in self.generate("d", shards) if needs_fakes else _without_fakes(shards):
                loss.backward(*self._d_loss(shard, fakes, adversarial=adversarial, penalties=penalties))
        moved = self._optimize("d", [loss])
        if moved is None:
            return Readings()
        values = moved.readings("grad_d" if adversarial else "grad_d_reg")
        values.join(
            loss.means(d="loss_d", drift="loss_drift", r1="loss_r1", r2="loss_r2", gp="loss_gp", classes="class_d")
        )
        if adversarial:
            if "statistics" in loss.sums:
                means = loss.sums["statistics"] / batch
                follow_statistics(synthesis, means if moved.if_finite is None else means.nan_to_num())
            names = ("score_real", "score_fake", "sign_real", "sign_fake")
            for name, total in zip(names, loss.sums["seen"].unbind(), strict=True):
                values.add(name, total, batch)
        return values

    def _d_loss(self, shard: Shard, fakes: Tensor, *, adversarial: bool, penalties: bool) -> tuple[Tensor, Sums]:
        """D's losses of a shard, in one pass over the images where both kinds are asked for."""
        config = self.config
        zero, parts = shard.images.new_zeros([]), Sums()
        r1_gamma, r2_gamma = (gamma * penalties for gamma in (config.r1_gamma, config.r2_gamma))
        real, real_classes, fake, fake_classes = zero, zero, zero, zero
        if adversarial or r1_gamma > 0:
            images = shard.images.detach().requires_grad_(r1_gamma > 0)
            real, real_classes = self.discriminate(images, shard, "d.real.augment", exact=penalties)
            if r1_gamma > 0:
                parts["r1"] = r1_penalty(images, real, gamma=self._per_full_pixel(r1_gamma)).sum()
        if adversarial or r2_gamma > 0:
            images = fakes.detach().requires_grad_(r2_gamma > 0)
            fake, fake_classes = self.discriminate(images, shard, "d.fake.augment", exact=penalties)
            if r2_gamma > 0:
                parts["r2"] = r1_penalty(images, fake, gamma=self._per_full_pixel(r2_gamma)).sum()
        if penalties and config.gp_weight > 0:
            parts["gp"] = self._gradient_penalty(shard, fakes)
        weight = config.d_reg_interval if penalties else 1
        loss = torch.stack([part * weight for part in parts.values()]).sum() if parts else zero
        if adversarial:
            own, classes = d_loss(config.loss, real, fake).sum(), real_classes + fake_classes
            loss = loss + (own + classes * config.class_weight)
            parts |= {"d": own, **self._class_sums(classes)}
            if config.drift_weight > 0:
                parts["drift"] = drift_penalty(real).sum() * config.drift_weight
                loss = loss + parts["drift"]
            logits = [real.detach(), fake.detach()]
            parts["seen"] = torch.stack([*(x.sum() for x in logits), *(x.sign().sum() for x in logits)])
            statistics = observed_statistics(self.state.generator.synthesis)
            if statistics is not None:
                parts["statistics"] = statistics * len(shard.numbers)
        return loss, parts

    def _gradient_penalty(self, shard: Shard, fakes: Tensor) -> Tensor:
        shares = self.rng.uniform("d.gp", shard.numbers, [1, 1, 1])
        mixed = shard.images.lerp(fakes, shares).requires_grad_()
        logits, _ = self.discriminate(mixed, shard, "d.gp.augment", exact=True)
        scale = self._per_full_pixel(1.0) ** 0.5
        return gradient_penalty(mixed, logits, weight=self.config.gp_weight, scale=scale).sum()

    def _per_full_pixel(self, squares: float) -> float:
        """``squares`` of gradients by pixels of a grown size, as gradients by the repeated pixels of the full size."""
        return squares / float(4**self.stage.left_out)

    # ----------------------------------------------------------------------------------------- networks

    def styles(self, purpose: str, shard: Shard) -> tuple[Tensor, Tensor]:
        """w+ [n, num_ws, w_dim] with style mixing, and w [n, w_dim] before it."""
        generator, config = self.state.generator, self.config
        z_dim, count = self.state.model.config.z_dim, len(shard.numbers)
        if config.style_mixing_prob == 0 or generator.mapping.num_ws == 1:
            ws = generator.mapping(self.rng.normal(f"{purpose}.z", shard.numbers, [z_dim]), shard.labels)
            return ws, ws[:, 0]
        z = self.rng.normal(f"{purpose}.z", shard.numbers, [2, z_dim])
        labels = None if shard.labels is None else shard.labels.repeat(2, 1)
        ws, other = generator.mapping(z.transpose(0, 1).reshape(2 * count, z_dim), labels).chunk(2)
        uniform = self.rng.uniform(f"{purpose}.mixing", shard.numbers, [2])
        # Of the layers that there are so far: a cutoff among those still to come would mix nothing.
        used = used_ws(generator.synthesis.plan)
        cutoffs = mixing_cutoffs(uniform, num_ws=used, probability=config.style_mixing_prob)
        return mix_styles(ws, other, cutoffs), ws[:, 0]

    def generate(self, purpose: str, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Tensor, Tensor]]:
        """Each shard with its generated images [n, C, H, W], and the w [n, w_dim] before style mixing.

        Batch normalization makes every image depend on all others of the batch. There all images are made at once, and
        only the discriminator, which needs most of the memory, sees them in shards: the gradients of the images are
        gathered, and go through the generator when the last shard is done.
        """
        shards = [shard for shard in shards if shard.numbers]
        if not mixes_batch(self.state.model.config):
            for shard in shards:
                yield shard, *self._generate(purpose, shard)
            return
        images, w = self._generate(purpose, Shard.joined(shards))
        leaf = images.detach().requires_grad_(images.requires_grad)
        first = 0
        for shard in shards:
            rows = slice(first, first + len(shard.numbers))
            yield shard, leaf[rows], w[rows]
            first = rows.stop
        if leaf.grad is not None:
            images.backward(leaf.grad)  # type: ignore[no-untyped-call]

    def _generate(self, purpose: str, shard: Shard) -> tuple[Tensor, Tensor]:
        synthesis = self.state.generator.synthesis
        network = synthesis if self.compiled_synthesis is None else self.compiled_synthesis
        with torch.set_grad_enabled(purpose == "g"):
            ws, w = self.styles(purpose, shard)
            noise = self.rng.noise(f"{purpose}.noise", shard.numbers, synthesis.plan)
            with autocast(self.precision, self.rng.device):
                return network(ws, noise=noise), w

    def discriminate(self, images: Tensor, shard: Shard, purpose: str, *, exact: bool = False) -> tuple[Tensor, Tensor]:
        """D's logits [n, 1] of ``images`` [n, C, H, W], and the cross entropy of its classes, summed (0 without any).

        The images are blurred, augmented, and put in the order of :func:`group_order`. ``purpose`` names the use: each
        augments with other random numbers. ``exact``: in float32, to be differentiated twice.
        """
        config, state, labels = self.config, self.state, shard.labels
        sigma = blur_sigma(state.images, sigma=config.d_blur_sigma, kimg=config.d_blur_kimg)
        seen = augmented(
            blurred(images, sigma), self.rng, purpose, shard.numbers, config=config.augment, p=state.augment.p
        )
        network = state.discriminator
        order = group_order(len(seen), network.config.discriminator.mbstd_group_size, seen.device)
        seen, labels = seen[order], None if labels is None else labels[order]
        with autocast("fp32" if exact else self.precision, self.rng.device):
            if labels is not None and network.config.discriminator.label_mode == "auxiliary":
                outputs = network.outputs(seen)
                return outputs[:, :1], class_loss(outputs[:, 1:], labels).sum()
            compiled = None if exact else self.compiled_discriminator
            logits: Tensor = (network if compiled is None else compiled)(seen, labels)
        return logits, logits.new_zeros([], dtype=torch.float32)

    # ------------------------------------------------------------------------------------------- update

    def _loss(self, which: str, name: str, count: int) -> BatchLoss:
        return BatchLoss(name=name, count=count, scale=self.state.loss_scales[which].value)

    def _optimize(self, which: str, losses: Sequence[BatchLoss]) -> Moved | None:
        """Move a network by the gradient of the sum of ``losses``; ``None``: the update was left out."""
        state, optimizer = self.state, self.state.optimizers[which]
        found = [parameter.grad for parameter in trained_parameters(optimizer) if parameter.grad is not None]
        self._sum_over_processes([*found, *(value for loss in losses for value in loss.sums.values())])
        scale = state.loss_scales[which]
        if scale.value != 1.0:
            torch._foreach_div_(found, scale.value)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(found)))
        means = [loss.sums["loss"] / loss.count for loss in losses]
        check = Check(tuple(loss.name for loss in losses), torch.stack([*means, norm]))
        if not self.waits:
            is_finite = check.values.isfinite().all()
            optimize(optimizer, if_finite=is_finite)
            return Moved(norm=norm, check=check, if_finite=is_finite)
        problem = check.problem()
        if self.precision == "fp16":
            state.loss_scales[which] = scale.after(overflow=problem is not None)
        if problem is None:
            optimize(optimizer)
            return Moved(norm=norm, check=check, if_finite=None)
        if self.precision == "fp16" and scale.value > 1:
            self.skipped.append(
                f"{self.place} {problem}: this update was skipped, and losses are scaled by {scale.value / 2:g}."
            )
        else:
            self.tell(self.place, problem)
        return None

    @property
    def place(self) -> str:
        """Where the run is, for messages."""
        return f"At {self.state.kimg:.3f} kimg (step {self.state.step})"

    def tell(self, place: str, problem: str) -> None:
        """Note that an update at ``place`` was left out because of ``problem``.

        Raises:
            NonFiniteError: such updates are not to be skipped.
        """
        if not self.skip_nonfinite:
            raise NonFiniteError(
                f"{place} {problem}. The last snapshot is untouched: resume from it with a lower learning rate "
                "(--resume --set train.g_lr=... --set train.d_lr=...) or a larger train.r1_gamma."
            )
        self.skipped.append(f"{place} {problem}: this update was skipped.")

    def _sum_over_processes(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one exchange."""
        if self.context.world_size == 1:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        self.context.all_reduce_sum(flat)
        for tensor, values in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(values.view(tensor.shape))

    def _class_sums(self, loss: Tensor) -> Sums:
        model = self.state.model.config
        has_classes = model.label_dim > 0 and model.discriminator.label_mode == "auxiliary"
        return {"classes": loss} if has_classes else {}

    def _state_values(self) -> dict[str, float]:
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


def _without_fakes(shards: Sequence[Shard]) -> Iterator[tuple[Shard, Tensor, Tensor]]:
    return ((shard, shard.images, shard.images) for shard in shards if shard.numbers)


def called(step: TrainingStep, update: str, shards: Sequence[Shard], **options: bool) -> Readings:
    """The update called ``update`` of ``step``, run as it is written."""
    found: Readings = getattr(step, update)(shards, **options)
    return found
