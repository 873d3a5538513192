"""Configurations as frozen, keyword-only, validated data. Loads no torch, so reading a configuration is instant.

Every field has one default, here. Configurations check themselves when made, travel as plain dictionaries
(JSON, TOML, the header of a model file), and refuse unknown keys by naming the nearest known one. The names below are
loaded on first use, so that ``sgkit --help`` does not load pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgkit.config.augment import AUGMENT_PARTS, AugmentConfig
    from sgkit.config.base import Config, differences, override
    from sgkit.config.mapping import MappingConfig
    from sgkit.config.model import AliasFreeConfig, DiscriminatorConfig, ModelConfig, SynthesisConfig
    from sgkit.config.sizes import BASE_RESOLUTION, base_size_of
    from sgkit.config.train import GrowthConfig, TrainConfig
    from sgkit.config.watch import HealthConfig, KeepConfig, MetricsConfig
    from sgkit.config.words import ARCHITECTURES, Architecture, AugmentKind, LossName, Precision

_NAMES = {
    "augment": ("AUGMENT_PARTS", "AugmentConfig"),
    "base": ("Config", "differences", "override"),
    "mapping": ("MappingConfig",),
    "model": ("AliasFreeConfig", "DiscriminatorConfig", "ModelConfig", "SynthesisConfig"),
    "sizes": ("BASE_RESOLUTION", "base_size_of"),
    "train": ("GrowthConfig", "TrainConfig"),
    "watch": ("HealthConfig", "KeepConfig", "MetricsConfig"),
    "words": ("ARCHITECTURES", "Architecture", "AugmentKind", "LossName", "Precision"),
}

__all__ = [
    "ARCHITECTURES",
    "AUGMENT_PARTS",
    "BASE_RESOLUTION",
    "AliasFreeConfig",
    "Architecture",
    "AugmentConfig",
    "AugmentKind",
    "Config",
    "DiscriminatorConfig",
    "GrowthConfig",
    "HealthConfig",
    "KeepConfig",
    "LossName",
    "MappingConfig",
    "MetricsConfig",
    "ModelConfig",
    "Precision",
    "SynthesisConfig",
    "TrainConfig",
    "base_size_of",
    "differences",
    "override",
]


def __getattr__(name: str) -> Any:
    for module, names in _NAMES.items():
        if name in names:
            return getattr(importlib.import_module(f"sgkit.config.{module}"), name)
    raise AttributeError(f"module 'sgkit.config' has no attribute {name!r}")
