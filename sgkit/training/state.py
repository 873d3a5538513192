"""Everything that changes from step to step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sgkit.config import TrainConfig
from sgkit.errors import TrainingError
from sgkit.model import Discriminator, Generator, Model
from sgkit.training.augment import Controller
from sgkit.training.optimizers import LossScale, discriminator_optimizer, generator_optimizer, trained_parameters


@dataclass(kw_only=True)
class TrainState:
    """Networks, optimizers and counts of a run. Random numbers are functions of the counts, so none are kept."""

    model: Model
    optimizers: dict[str, torch.optim.Adam]
    """``"g"`` and ``"d"``."""
    pl_mean: Tensor
    """Running mean of path lengths, a scalar."""
    augment: Controller
    """The probability of augmentation, and what it is steered by."""
    loss_scales: dict[str, LossScale]
    """For each optimizer; 1 except in fp16."""
    images: int = 0
    """Real images shown to the discriminator so far."""
    step: int = 0
    health: dict[str, Any] = field(default_factory=dict)
    """What the detection of collapse remembers, in values that JSON keeps exactly; empty: nothing yet."""
    lr_factor: float = 1.0
    """Factor of both learning rates, in addition to the schedule: lowered by rollbacks."""

    @classmethod
    def start(cls, model: Model, config: TrainConfig) -> TrainState:
        """The state of a new run of ``model``, which must have its discriminator.

        Raises:
            TrainingError: the model has no discriminator.
            ConfigError: the recipe freezes more than there is.
        """
        if model.discriminator is None:
            raise TrainingError("The model has no discriminator, so it cannot be trained. Start from one that has.")
        if model.raw_generator is None:
            raise TrainingError("The model holds only the averaged generator. Start from a snapshot of a run.")
        model.generator.requires_grad_(False).eval()
        for network in (model.raw_generator, model.discriminator):
            network.requires_grad_(False).train()
        scale = LossScale(value=LossScale.START if config.precision == "fp16" else 1.0)
        return cls(
            model=model,
            optimizers={
                "g": generator_optimizer(model.raw_generator, config),
                "d": discriminator_optimizer(model.discriminator, config),
            },
            pl_mean=torch.zeros([], device=next(model.generator.parameters()).device),
            augment=Controller.start(config.augment),
            loss_scales={"g": scale, "d": scale},
        )

    @property
    def generator(self) -> Generator:
        """The generator that is trained, not averaged."""
        assert self.model.raw_generator is not None
        return self.model.raw_generator

    @property
    def discriminator(self) -> Discriminator:
        """The discriminator."""
        assert self.model.discriminator is not None
        return self.model.discriminator

    @property
    def kimg(self) -> float:
        """Thousands of images shown so far."""
        return self.images / 1000.0

    def forget_moments(self) -> None:
        """Reset both optimizers, as growing networks do whenever a fade begins or ends."""
        for optimizer in self.optimizers.values():
            optimizer.state.clear()

    def trained(self, which: str) -> dict[str, nn.Parameter]:
        """The weights that the optimizer ``"g"`` or ``"d"`` moves, by their names in the network."""
        network = {"g": self.generator, "d": self.discriminator}[which]
        moved = {id(parameter) for parameter in trained_parameters(self.optimizers[which])}
        return {name: value for name, value in network.named_parameters() if id(value) in moved}
