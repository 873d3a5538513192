"""The module of each operator of a plan. A layer maps (spec, state, style, noise) to the next state.

Weights are stored near unit variance and scaled at run time (equalized learning rate, ProGAN section 4.1). The dtype of
the features decides the arithmetic; images are summed in float32. Parameter names are those of the model file.
"""

from __future__ import annotations

from collections.abc import Callable

from sgkit.config import ModelConfig
from sgkit.model.layers.alias_free import AliasFreeConv, FourierInput
from sgkit.model.layers.base import FullyConnected, Layer, compute_dtype, memory_format, repeated
from sgkit.model.layers.discriminator import FilteredConv, Head, PooledConv
from sgkit.model.layers.modulated import ConstantInput, ModulatedConv, ToRGB
from sgkit.model.layers.rgb import FromRGB, PlainRGB
from sgkit.model.layers.self_modulated import SelfModulated, SelfModulatedConv, SelfModulatedDense
from sgkit.model.layers.styled import StyledConstant, StyledConv, StyledDense
from sgkit.model.spec import LayerSpec

__all__ = [
    "OPERATORS",
    "FourierInput",
    "FullyConnected",
    "Layer",
    "SelfModulated",
    "compute_dtype",
    "memory_format",
    "repeated",
]

OPERATORS: dict[str, Callable[[LayerSpec, ModelConfig], Layer]] = {
    "alias_free": AliasFreeConv,
    "constant": ConstantInput,
    "filtered": FilteredConv,
    "fourier": FourierInput,
    "from_rgb": FromRGB,
    "head": Head,
    "modulated": ModulatedConv,
    "plain_rgb": PlainRGB,
    "pooled": PooledConv,
    "self_modulated": SelfModulatedConv,
    "self_modulated_dense": SelfModulatedDense,
    "styled": StyledConv,
    "styled_constant": StyledConstant,
    "styled_dense": StyledDense,
    "to_rgb": ToRGB,
}
"""Operator name -> the module that implements it."""
