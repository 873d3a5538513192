"""The optimizers of both networks: which weights they move, lazy regularization's rates, and the loss scale of fp16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sgkit.config import TrainConfig
from sgkit.errors import ConfigError
from sgkit.model import Discriminator, Generator, discriminator_plan
from sgkit.training.schedules import lazy_adam

_STYLE_LAYERS = (".affine.", ".scale.", ".shift.")
"""Names of the modules that make styles from w."""


def generator_optimizer(generator: Generator, config: TrainConfig) -> torch.optim.Adam:
    """A new optimizer of all weights of ``generator`` that are not frozen; strengths of noise have their own rate."""
    trained = {name: value for name, value in generator.named_parameters() if not is_frozen(name, config)}
    lazy = is_lazy(config, applied=config.pl_weight > 0, interval=config.pl_interval)
    apart = [name for name in trained if name.endswith("noise_strength") and config.noise_lr_factor != 1]
    noise = [trained.pop(name) for name in apart]
    optimizer = _adam([*trained.values()], config, config.g_lr, config.pl_interval if lazy else None)
    if noise:
        lr = optimizer.param_groups[0]["initial_lr"] * config.noise_lr_factor
        optimizer.add_param_group({"params": noise, "initial_lr": lr, "lr": lr})
    return optimizer


def is_frozen(name: str, config: TrainConfig) -> bool:
    """Whether the generator's tensor ``name`` stays as it is (``freeze_mapping``, ``freeze_affine``)."""
    parts = ("mapping.",) * config.freeze_mapping + _STYLE_LAYERS * config.freeze_affine
    return any(part in name for part in parts)


def discriminator_optimizer(discriminator: Discriminator, config: TrainConfig) -> torch.optim.Adam:
    """A new optimizer of all weights of ``discriminator`` that are not frozen.

    Raises:
        ConfigError: it has no more layers than are to be frozen.
    """
    layers = [spec.name for spec in discriminator_plan(discriminator.config)]
    if config.freeze_d >= len(layers):
        raise ConfigError(f"freeze_d is {config.freeze_d}; the discriminator has {len(layers)} layers, so give less.")
    frozen = set(layers[: config.freeze_d])
    trained = [value for name, value in discriminator.named_parameters() if name.partition(".")[0] not in frozen]
    lazy = is_lazy(config, applied=config.penalizes_d, interval=config.d_reg_interval)
    return _adam(trained, config, config.d_lr, config.d_reg_interval if lazy else None)


def is_lazy(config: TrainConfig, *, applied: bool, interval: int) -> bool:
    """Whether an optimizer takes the learning rate and betas of lazy regularization."""
    return interval > 1 and (applied or config.lazy_scaling == "always")


def _adam(parameters: list[nn.Parameter], config: TrainConfig, lr: float, interval: int | None) -> torch.optim.Adam:
    lr, betas = lazy_adam(lr, config.adam_betas, interval=interval)
    group = {"params": parameters, "initial_lr": lr}
    if all(parameter.device.type == "cuda" for parameter in parameters):  # one kernel, and it can skip itself
        adam = torch.optim.Adam([group], lr=lr, betas=betas, eps=config.adam_eps, fused=True, capturable=True)
        adam._warned_capturable_if_run_uncaptured = True  # it may run without graphs
        return adam
    return torch.optim.Adam([group], lr=lr, betas=betas, eps=config.adam_eps, foreach=True)


def optimize(optimizer: torch.optim.Optimizer, *, if_finite: Tensor | None = None) -> None:
    """Move the weights by their gradients; with ``if_finite`` only where that tensor, on their device, is true.

    Only fused optimizers take ``if_finite``: weights, moments and step counts then stay as they were.
    """
    if if_finite is not None:
        optimizer.found_inf = (~if_finite).float()  # type: ignore[attr-defined]
    optimizer.step()
    if if_finite is not None:
        del optimizer.found_inf  # type: ignore[attr-defined]
    for group in optimizer.param_groups:
        if group["fused"]:  # it does not tell that weights have changed, by which networks know what to recompute
            for parameter in group["params"]:
                torch.autograd.graph.increment_version(parameter)


def trained_parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """The weights that ``optimizer`` moves."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def set_lr_factor(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Make the learning rate ``factor`` times its initial value."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


@contextmanager
def gradients(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """A block whose losses leave their gradients in the weights that ``optimizer`` moves, and in no others."""
    optimizer.zero_grad(set_to_none=True)
    parameters = trained_parameters(optimizer)
    for parameter in parameters:
        parameter.requires_grad_(True)
    yield
    for parameter in parameters:
        parameter.requires_grad_(False)
        if parameter.grad is None:  # untouched by a regularizer; Adam's moments decay as in a zero gradient
            parameter.grad = torch.zeros_like(parameter)


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
