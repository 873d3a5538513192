"""The two networks as training moves them: which weights, by which optimizer, down which losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from sgkit.config import TrainConfig
from sgkit.errors import ConfigError
from sgkit.model import Discriminator, Generator, discriminator_plan
from sgkit.runtime.distributed import DistributedContext
from sgkit.training.exchange import sum_over_processes
from sgkit.training.schedules import lazy_adam

_STYLE_LAYERS = (".affine.", ".scale.", ".shift.")
"""What the modules are called that make styles from w."""

Sums = dict[str, Tensor]
"""What a shard adds up: ``"loss"`` (with its graph), and values to report, each summed over the shard's images."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Images that are in memory at once."""

    images: Tensor
    """Real images [n, C, H, W] in [-1, 1]."""
    labels: Tensor | None
    numbers: Sequence[int]
    """Number of each image in the run; random draws depend on it."""

    @classmethod
    def joined(cls, shards: Sequence[Shard]) -> Shard:
        """Return all images of some shards as one."""
        labels = [shard.labels for shard in shards if shard.labels is not None]
        return cls(
            images=torch.cat([shard.images for shard in shards]),
            labels=torch.cat(labels) if labels else None,
            numbers=[number for shard in shards for number in shard.numbers],
        )

    def every(self, stride: int) -> Shard:
        """The images whose number divides by ``stride``: the same ones however the batch is split."""
        rows = [row for row, number in enumerate(self.numbers) if number % stride == 0]
        labels = None if self.labels is None else self.labels[rows]
        return Shard(images=self.images[rows], labels=labels, numbers=[self.numbers[row] for row in rows])


class Whole(Protocol):
    """What all shards of a term share."""

    def begin(self) -> None:
        """Make it, before the first shard."""

    def finish(self) -> None:
        """Take its gradients back, after the last shard."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """A loss over shards of the batch."""

    name: str
    shards: Sequence[Shard]
    count: int
    """Images that it is the mean over, in all processes together."""
    sums: Callable[[Shard], Sums]
    whole: Whole | None = None
    """What all shards share, made before the first one and led back after the last one."""


@dataclass(frozen=True, kw_only=True)
class Descent:
    """What the losses of a phase came to, before anything moved."""

    totals: Sequence[Sums]
    """For each term, its sums over all images of all processes."""
    losses: Sequence[float]
    """Mean of each term."""
    norm: float
    """Euclidean norm of the gradient of their sum."""
    problem: str | None
    """What is not finite, in words; ``None``: everything is."""


@dataclass(frozen=True, kw_only=True)
class LossScale:
    """The factor that keeps small fp16 gradients from vanishing: halved when they overflow, doubled after a while."""

    value: float = 1.0
    good_steps: int = 0
    """Steps without overflow since it last changed."""

    START = 2.0**15
    PATIENCE = 2000
    LARGEST = 2.0**24

    def after(self, *, overflow: bool) -> LossScale:
        """The scale for the next step."""
        if overflow:
            return LossScale(value=max(self.value / 2, 1.0))
        if self.good_steps + 1 < self.PATIENCE:
            return replace(self, good_steps=self.good_steps + 1)
        return LossScale(value=min(self.value * 2, self.LARGEST))


@dataclass(frozen=True)
class Player:
    """A network with its optimizer, which moves all of its weights but the frozen ones."""

    network: nn.Module
    optimizer: torch.optim.Adam

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The weights that move."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """The weights that move, by their names in the network."""
        moving = {id(parameter) for parameter in self.parameters}
        return {name: value for name, value in self.network.named_parameters() if id(value) in moving}

    def set_lr_factor(self, factor: float) -> None:
        """Make the learning rate so many times the one it began with."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def slope(self, terms: Sequence[Term], context: DistributedContext, *, scale: float = 1.0) -> Descent:
        """The gradient of the terms' sum, left in the parameters for the optimizer, and what it came to.

        Gradients add up over shards and are exchanged once between processes. ``scale`` multiplies losses on the way
        back and is taken out of the gradients again.
        """
        self.optimizer.zero_grad(set_to_none=True)
        parameters = self.parameters
        for parameter in parameters:
            parameter.requires_grad_(True)
        totals = [self._backward(term, scale) for term in terms]
        for parameter in parameters:
            parameter.requires_grad_(False)
            if parameter.grad is None:  # untouched by a regularizer; Adam's moments decay as in a zero gradient
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        sum_over_processes([*gradients, *(value for sums in totals for value in sums.values())], context)
        if scale != 1.0:
            torch._foreach_div_(gradients, scale)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        losses = [sums["loss"] / term.count for sums, term in zip(totals, terms, strict=True)]
        *means, length = torch.stack([*losses, norm]).tolist()
        return Descent(totals=totals, losses=means, norm=length, problem=_problem(terms, means, length))

    @staticmethod
    def _backward(term: Term, scale: float) -> Sums:
        totals: Sums = {}
        if term.whole is not None:
            term.whole.begin()
        for shard in term.shards:
            if not shard.numbers:
                continue
            part = term.sums(shard)
            (part["loss"] * (scale / term.count)).backward()  # type: ignore[no-untyped-call]
            totals = {key: value.detach() + totals.get(key, 0.0) for key, value in part.items()}
        if term.whole is not None:
            term.whole.finish()
        return totals


def g_player(generator: Generator, config: TrainConfig) -> Player:
    """The generator with a fresh optimizer."""
    frozen = ("mapping.",) * config.freeze_mapping + _STYLE_LAYERS * config.freeze_affine
    moving = [value for name, value in generator.named_parameters() if not any(part in name for part in frozen)]
    lazy = is_lazy(config, applied=config.pl_weight > 0, interval=config.pl_interval)
    return Player(generator, _adam(moving, config, config.g_lr, config.pl_interval if lazy else None))


def d_player(discriminator: Discriminator, config: TrainConfig) -> Player:
    """The discriminator with a fresh optimizer.

    Raises:
        ConfigError: it has no more layers than are to be frozen.
    """
    layers = [spec.name for spec in discriminator_plan(discriminator.config)]
    if config.freeze_d >= len(layers):
        raise ConfigError(f"freeze_d is {config.freeze_d}; the discriminator has {len(layers)} layers, so give less.")
    frozen = set(layers[: config.freeze_d])
    moving = [value for name, value in discriminator.named_parameters() if name.partition(".")[0] not in frozen]
    lazy = is_lazy(config, applied=config.penalizes_d, interval=config.d_reg_interval)
    return Player(discriminator, _adam(moving, config, config.d_lr, config.d_reg_interval if lazy else None))


def is_lazy(config: TrainConfig, *, applied: bool, interval: int) -> bool:
    """Whether an optimizer takes the learning rate and betas of lazy regularization."""
    return interval > 1 and (applied or config.lazy_scaling == "always")


def _adam(parameters: list[nn.Parameter], config: TrainConfig, lr: float, interval: int | None) -> torch.optim.Adam:
    lr, betas = lazy_adam(lr, config.adam_betas, interval=interval)
    group = {"params": parameters, "initial_lr": lr}
    # Not fused: that one changes weights without telling their version, by which the networks know what to recompute.
    return torch.optim.Adam([group], lr=lr, betas=betas, eps=config.adam_eps, foreach=True)


def _problem(terms: Sequence[Term], losses: Sequence[float], norm: float) -> str | None:
    for term, loss in zip(terms, losses, strict=True):
        if not math.isfinite(loss):
            return f"{term.name} is not finite ({loss:g})"
    if not math.isfinite(norm):
        names = " + ".join(term.name for term in terms)
        return f"the gradient of {names} is not finite (norm {norm:g}, loss {sum(losses):g})"
    return None
