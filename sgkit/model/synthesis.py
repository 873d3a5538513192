"""The synthesis network w+ -> s -> image: modules in plan order, entered and left at any layer."""

from __future__ import annotations

import torch
from torch import Tensor

from sgkit.config import ModelConfig
from sgkit.errors import UsageError
from sgkit.model.network import PlannedNetwork
from sgkit.model.noise import NoiseSource, noise_source
from sgkit.model.plan import num_ws, synthesis_plan
from sgkit.model.walk import Branch, walk


class Synthesis(PlannedNetwork):
    """g: w+ -> image. Walk it with :class:`sgkit.model.Branch` for anything but the plain image."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, synthesis_plan)
        self.num_ws = num_ws(config)

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        """The s space: layer name -> style [N, C], for ``ws`` [N, num_ws, w_dim].

        Raises:
            UsageError: ``ws`` has another shape.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.config.w_dim):
            raise UsageError(
                f"The model needs ws of shape [N, {self.num_ws}, {self.config.w_dim}]; got {list(ws.shape)}."
            )
        styles = {}
        with torch.autocast(device_type=ws.device.type, enabled=False):
            for spec in self.plan:
                if spec.style_index is not None:
                    styles[spec.name] = self.layer(spec.name).style(ws[:, spec.style_index])
        return styles

    def forward(self, ws: Tensor, *, noise: str | NoiseSource = "const") -> Tensor:
        """Images [N, C, H, W], about -1 to 1, for ``ws`` [N, num_ws, w_dim]."""
        return walk([Branch(self, self.styles(ws), noise_source(noise))])[0].image
