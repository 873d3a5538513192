"""The synthesis network w+ -> s -> image: modules in plan order, entered and left at any layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.errors import UsageError
from sgkit.model.layers import OPERATORS, Layer
from sgkit.model.noise import NoiseSource, noise_source
from sgkit.model.plan import all_layers, num_ws, synthesis_plan
from sgkit.model.spec import LayerSpec, Plan
from sgkit.model.walk import Branch, State, Styles, walk

__all__ = ["Synthesis"]


class Synthesis(nn.Module):
    """g: w+ -> image. Walk it with :class:`sgkit.model.Branch` for anything but the plain image."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.num_ws = config, num_ws(config)
        for name, spec in all_layers(synthesis_plan, config).items():
            self.add_module(name, OPERATORS[spec.operator](spec, config))
        self.grow(0.0)

    def grow(self, lod: float) -> None:
        """Set how far the network has grown: 0 is full size, each 1 leaves out a doubling, fractions fade.

        Raises:
            UsageError: the network does not grow and ``lod`` is not 0, or ``lod`` is out of range.
        """
        self.plan: Plan = synthesis_plan(self.config, lod=lod)

    def layer(self, name: str) -> Layer:
        """The module of the layer called ``name``."""
        module = self._modules[name]
        assert isinstance(module, Layer)
        return module

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

    def step(self, spec: LayerSpec, styles: Styles, state: State, noise: NoiseSource) -> State:
        """The state behind the layer ``spec``."""
        return self.layer(spec.name)(spec, state, styles.get(spec.name), noise)  # type: ignore[no-any-return]

    def forward(self, ws: Tensor, *, noise: str | NoiseSource = "const") -> Tensor:
        """Images [N, C, H, W], about -1 to 1, for ``ws`` [N, num_ws, w_dim]."""
        return walk([Branch(self, self.styles(ws), noise_source(noise))])[0].image
