"""Configuration as frozen, keyword-only dataclasses. Loads no torch, so reading a configuration is instant.

Every field has one default, here. Configurations check themselves when made, travel as plain dictionaries
(JSON, TOML, the header of a model file), and refuse unknown keys by naming the nearest known one.
"""

from sgkit.config.augment import AUGMENT_PARTS, AugmentConfig, AugmentKind
from sgkit.config.base import Config, check_settings, differences, override
from sgkit.config.mapping import Activation, MappingConfig
from sgkit.config.model import (
    ARCHITECTURES,
    BASE_RESOLUTION,
    AliasFreeConfig,
    Architecture,
    DiscriminatorConfig,
    ModelConfig,
    SynthesisConfig,
    base_size_of,
)
from sgkit.config.train import GrowthConfig, LossName, Precision, TrainConfig
from sgkit.config.watch import CollapsePolicy, HealthConfig, KeepConfig, MetricsConfig, NonFinitePolicy

__all__ = [
    "ARCHITECTURES",
    "AUGMENT_PARTS",
    "BASE_RESOLUTION",
    "Activation",
    "AliasFreeConfig",
    "Architecture",
    "AugmentConfig",
    "AugmentKind",
    "CollapsePolicy",
    "Config",
    "DiscriminatorConfig",
    "GrowthConfig",
    "HealthConfig",
    "KeepConfig",
    "LossName",
    "MappingConfig",
    "MetricsConfig",
    "ModelConfig",
    "NonFinitePolicy",
    "Precision",
    "SynthesisConfig",
    "TrainConfig",
    "base_size_of",
    "check_settings",
    "differences",
    "override",
]
