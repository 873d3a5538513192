"""What generator and discriminator share: modules in the order of a plan, and how their layers are run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sgkit.config import ModelConfig
from sgkit.model.layers import OPERATORS, Layer
from sgkit.model.noise import NoiseSource
from sgkit.model.plan import PlanFunction, all_layers
from sgkit.model.spec import LayerSpec, Plan
from sgkit.model.walk import State, Styles


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How layers are computed; what they compute stays the same."""

    reduced_from: int = 0
    """Under autocast, layers below this resolution compute in full precision all the same."""
    recompute: bool = False
    """Keep no activations for the way back but those between layers; compute the others again there."""


class PlannedNetwork(nn.Module):
    """A network whose modules stand in the order of a plan: one for each layer that a plan of it names, at any lod."""

    def __init__(self, config: ModelConfig, plan_function: PlanFunction) -> None:
        super().__init__()
        self.config, self.execution = config, Execution()
        self._plan_function = plan_function
        for name, spec in all_layers(plan_function, config).items():
            self.add_module(name, OPERATORS[spec.operator](spec, config))
        self.grow(0.0)

    def grow(self, lod: float, *, enlarged: bool = True) -> None:
        """Set how far the network has grown: 0 is full size, each 1 leaves out a doubling, fractions fade.

        ``enlarged``: images are of full size, their pixels repeated; otherwise of :func:`sgkit.model.grown_size`.

        Raises:
            UsageError: the network does not grow and ``lod`` is not 0, or ``lod`` is out of range.
        """
        self.plan: Plan = self._plan_function(self.config, lod=lod, enlarged=enlarged)

    def layer(self, name: str) -> Layer:
        """The module of the layer called ``name``."""
        module = self._modules[name]
        assert isinstance(module, Layer)
        return module

    def step(self, spec: LayerSpec, styles: Styles, state: State, noise: NoiseSource) -> State:
        """The state after the layer ``spec``: here, and only here, its canvas advances."""
        layer, style = self.layer(spec.name), styles.get(spec.name)
        before = state.canvas
        canvas = None if before is None else before.after(spec)
        if canvas is not before:
            state = State(x=state.x, rgb=state.rgb, shortcut=state.shortcut, canvas=canvas)
        if callable(style):
            style = style(state.place if before is None or spec.kind == "input" else before)
        if spec.resolution >= self.execution.reduced_from:
            return self._run(layer, spec, state, style, noise)
        with torch.autocast(next(layer.parameters()).device.type, enabled=False):
            return self._run(layer, spec, state.map(Tensor.float), style, noise)

    def _run(self, layer: Layer, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        if self.execution.recompute and torch.is_grad_enabled():
            return checkpoint(  # type: ignore[no-any-return]
                layer, spec, state, style, noise, use_reentrant=False, preserve_rng_state=False
            )
        return layer(spec, state, style, noise)  # type: ignore[no-any-return]
