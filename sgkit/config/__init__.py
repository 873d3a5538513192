"""Configurations as frozen, keyword-only, validated data. Loads no torch, so reading a configuration is instant.

Every field has one default, here. Configurations check themselves when made, travel as plain dictionaries
(JSON, TOML, the header of a model file), and refuse unknown keys by naming the nearest known one. The names below are
loaded on first use, so that ``sgkit --help`` does not load pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgkit.config.augment import AugmentConfig
    from sgkit.config.base import Config, override
    from sgkit.config.mapping import MappingConfig
    from sgkit.config.model import AliasFreeConfig, DiscriminatorConfig, ModelConfig, SynthesisConfig
    from sgkit.config.sizes import BASE_RESOLUTION
    from sgkit.config.train import GrowthConfig, TrainConfig
    from sgkit.config.watch import HealthConfig, KeepConfig, MetricsConfig

__all__ = [
    "BASE_RESOLUTION",
    "AliasFreeConfig",
    "AugmentConfig",
    "Config",
    "DiscriminatorConfig",
    "GrowthConfig",
    "HealthConfig",
    "KeepConfig",
    "MappingConfig",
    "MetricsConfig",
    "ModelConfig",
    "SynthesisConfig",
    "TrainConfig",
    "override",
]
_MODULES = ("sizes", "base", "augment", "mapping", "model", "train", "watch")

if not TYPE_CHECKING:  # so that type checkers know the names

    def __getattr__(name: str) -> Any:
        if name in __all__:
            modules = (vars(importlib.import_module(f"sgkit.config.{module}")) for module in _MODULES)
            return next(module[name] for module in modules if name in module)
        raise AttributeError(f"module 'sgkit.config' has no attribute {name!r}")
