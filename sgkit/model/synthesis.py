"""The synthesis network w+ -> s -> image: modules in plan order, entered and left at any layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sgkit.config import BASE_RESOLUTION, ModelConfig
from sgkit.errors import UsageError
from sgkit.model.network import PlannedNetwork
from sgkit.model.noise import NoiseSource, noise_source
from sgkit.model.plan import num_ws, synthesis_plan
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import Branch, State, steps, walk


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

    def measured(self, styles: Mapping[str, Tensor], noise: NoiseSource) -> dict[str, Tensor]:
        """``styles`` for canvases other than the model's own picture.

        AdaIN normalises by statistics of the whole canvas (StyleGAN, equation 1), which differ on another one and which
        no window of a larger one can know. So its styles get those of their own plain pictures: [N, 4C], not [N, 2C].
        """
        found = dict(styles)
        if self.config.synthesis.layer == "adain":
            before = State()
            for spec, (state,) in steps([Branch(self, styles, noise)]):
                if spec.name in found:
                    inputs = replace(before, canvas=state.canvas)
                    found[spec.name] = self.layer(spec.name).measured(spec, inputs, found[spec.name], noise)
                before = state
        return found

    def reach(self, spec: LayerSpec) -> float:
        """How far the layer ``spec`` reads beyond the place that it writes, in cells (pixels at resolution 4)."""
        return self.layer(spec.name).reach * BASE_RESOLUTION * spec.scale / spec.resolution

    def halo(self, start: int = 0) -> int:
        """How far all layers from ``start`` on read together, in cells: what a window needs around it to be exact."""
        return math.ceil(sum(self.reach(spec) for spec in self.plan[start:]))

    def forward(self, ws: Tensor, *, noise: str | NoiseSource = "const") -> Tensor:
        """Images [N, C, H, W], about -1 to 1, for ``ws`` [N, num_ws, w_dim]."""
        return walk([Branch(self, self.styles(ws), noise_source(noise))])[0].image
