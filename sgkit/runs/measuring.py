"""Metrics during a run: its averaged generator, held against the images it learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from sgkit.config import MetricsConfig
from sgkit.measure.inputs import ModelPile, StorePile
from sgkit.measure.statistics import Summarizer
from sgkit.metrics.registry import MetricRecipe, MetricValue, metric_recipes
from sgkit.metrics.summary import FeatureSummary
from sgkit.model import Model
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import OnProgress
from sgkit.store import StoreDataset

LABEL_SEED = 0
"""As ``sgkit metrics`` draws labels unless told otherwise: both say the same of a snapshot."""


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is measured of a model again and again. All processes call it together."""

    recipes: Sequence[MetricRecipe]
    num_images: int
    data: StorePile
    summarizer: Summarizer

    @classmethod
    def start(
        cls,
        config: MetricsConfig,
        dataset: StoreDataset,
        context: DistributedContext,
        on_progress: OnProgress,
        on_warning: Callable[[str], None],
    ) -> Measuring | None:
        """The metrics of ``config``, of which nothing is computed yet; ``None``: it names none.

        Raises:
            UsageError: a metric is unknown.
            MissingDependencyError: a metric needs a package that is not installed.
            WeightsError: a metric's weights cannot be downloaded.
        """
        if not config.names:
            return None
        recipes = metric_recipes(config.names)
        with _random_state_kept(context):
            summarizer = Summarizer.of(recipes, context, on_progress=on_progress, on_warning=on_warning)
        return cls(
            recipes=recipes,
            num_images=config.num_images or max(recipe.num_images for recipe in recipes),
            data=StorePile(str(dataset.reader.path)),
            summarizer=summarizer,
        )

    @cached_property
    def data_side(self) -> dict[str, FeatureSummary]:
        """The statistics of the data by extractor: computed once, and kept between runs."""
        return self.summarizer.of_data(self.data)[0]

    def of(self, model: Model) -> list[MetricValue]:
        """The metrics of ``model``, of images from the seeds 0, 1, 2 ...; the run's random state stays as it is."""
        labels = self.data.labels(self.num_images, LABEL_SEED) if model.config.label_dim > 0 else None
        pile = ModelPile(model, num=self.num_images, labels=labels)
        with _random_state_kept(self.summarizer.context):
            data_side = self.data_side
            side = self.summarizer.summaries(pile, stage="measuring")
            return [
                recipe.value(side[recipe.extractor], data_side[recipe.extractor], seed=0) for recipe in self.recipes
            ]


def _random_state_kept(context: DistributedContext) -> Any:
    return torch.random.fork_rng(devices=[context.device] if context.device.type == "cuda" else [])
