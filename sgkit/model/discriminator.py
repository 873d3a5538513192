"""The discriminator: the mirror plan, walked the same way, from an image to a logit."""

from __future__ import annotations

import math

from torch import Tensor

from sgkit.config import ModelConfig
from sgkit.errors import UsageError
from sgkit.model.layers import memory_format
from sgkit.model.mapping import Mapping, checked_latent
from sgkit.model.network import PlannedNetwork
from sgkit.model.plan import PlanFunction, discriminator_plan
from sgkit.model.spec import Plan
from sgkit.model.walk import Branch, State, steps, walk


class Discriminator(PlannedNetwork):
    """D: image -> logit; with labels by projection (Miyato and Koyama 2018)."""

    def __init__(self, config: ModelConfig, plan_function: PlanFunction = discriminator_plan) -> None:
        super().__init__(config, plan_function)
        if config.label_dim > 0 and config.discriminator.label_mode == "project":
            self.mapping = Mapping(
                config.discriminator.mapping,
                z_dim=0,
                label_dim=config.label_dim,
                w_dim=self.plan[-1].out_channels,
                num_ws=1,
                tracks_average=False,
            )

    def features(self, images: Tensor, *, stop: int | None = None) -> dict[str, Tensor]:
        """Layer name -> features [N, C, H, W] after each layer, before the layer of index ``stop``.

        Raises:
            UsageError: ``images`` [N, C, H, W] are not floating point, have another size or other channels than the
                model's, or are of a number that the minibatch deviation cannot group, if the head is reached.
        """
        states = [self._start(images, plan=self.plan[:stop])]
        return {spec.name: state.features for spec, (state,) in steps([Branch(self)], states=states, stop=stop)}

    def _start(self, images: Tensor, *, plan: Plan | None = None) -> State:
        """The state before the first layer of ``plan``; ``None``: of all layers."""
        first = self.plan[0]
        expected = (self.config.image_channels, *(side * first.down for side in first.size))
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise UsageError(
                f"The model needs images of shape [N, {', '.join(map(str, expected))}]; got {list(images.shape)}."
            )
        if not images.is_floating_point():
            raise UsageError(
                f"The model needs images as floating point numbers, about -1 to 1; got {images.dtype}. "
                "Pixels of 0 to 255 become such by x / 127.5 - 1."
            )
        group, channels = self.config.discriminator.mbstd_group_size, self.config.discriminator.mbstd_num_channels
        grouped = channels > 0 and any(spec.kind == "head" for spec in (self.plan if plan is None else plan))
        if grouped and group is not None and len(images) > group and len(images) % group:
            raise UsageError(
                f"{len(images)} images do not divide into groups of {group} for the discriminator's minibatch "
                f"deviation; give at most {group}, or a multiple of it."
            )
        return State(rgb=images.contiguous(memory_format=memory_format(self)))

    def outputs(self, images: Tensor) -> Tensor:
        """What the last layer gives [N, F], before labels choose from it, for ``images`` [N, C, H, W]."""
        return walk([Branch(self)], states=[self._start(images)])[0].features

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits [N, 1], above 0 where ``images`` [N, C, H, W] look real; ``label`` [N, label_dim].

        With label mode ``auxiliary`` the class logits are the further columns of :meth:`outputs`.
        """
        out = self.outputs(images)
        mode = self.config.discriminator.label_mode
        if self.config.label_dim == 0 or mode == "auxiliary":
            return out[:, :1]
        if mode == "classes":
            return (out * checked_latent("label", label, self.config.label_dim)).sum(dim=1, keepdim=True)
        projection = self.mapping(None, label)[:, 0]
        logits: Tensor = (out * projection).sum(dim=1, keepdim=True) / math.sqrt(projection.shape[1])
        return logits
