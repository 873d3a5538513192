"""The configuration of a run, as ``config.toml`` holds it."""

from __future__ import annotations

from sgkit.config import HealthConfig, KeepConfig, MetricsConfig, ModelConfig, TrainConfig
from sgkit.config.base import Config, Count, Text, Weight


class DataFacts(Config):
    """Which images a run is trained on."""

    store: Text = ""
    """Path of the store as it was given."""
    content_hash: str = ""
    num_images: Count = 0
    class_names: tuple[Text, ...] = ()
    """Of the labels that it is trained on, where these are classes."""


class RunConfig(Config):
    """Everything that defines a run; ``config.toml`` holds it whole."""

    preset: str = ""
    """The preset that it began with; the tables below say what came of it."""
    sgkit: str = ""
    """Version that started the run."""
    choices: tuple[Text, ...] = ()
    """What the preset ``auto`` chose, and why; the values themselves are in the tables below."""
    init: Text | None = None
    """Model whose weights it began from; ``none``: random ones."""
    init_kimg: Weight = 0.0
    """Thousands of images that this model had been trained on."""
    wandb: Text | None = None
    """Project of Weights & Biases that the run also reports to; ``none``: no project."""
    data: DataFacts = DataFacts()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    keep: KeepConfig = KeepConfig()
    metrics: MetricsConfig = MetricsConfig()
    health: HealthConfig = HealthConfig()
