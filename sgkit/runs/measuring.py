"""Metrics during a run: the averaged generator compared with the training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from sgkit.config import MetricsConfig
from sgkit.errors import UsageError
from sgkit.measure.evaluating import Evaluator
from sgkit.measure.inputs import GeneratedImages, StoreImages
from sgkit.measure.statistics import SideStatistics, StatisticsRunner
from sgkit.metrics.registry import metric_rows
from sgkit.metrics.values import MetricValue
from sgkit.model import Model
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import OnProgress
from sgkit.store import StoreDataset

LABEL_SEED = 0
"""The default of ``sgkit metrics``, which so gives the same values for a snapshot."""


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """The metrics of a run, computed again and again. All processes call it together."""

    evaluator: Evaluator
    num_images: int
    data: StoreImages

    @classmethod
    def start(
        cls,
        config: MetricsConfig,
        dataset: StoreDataset,
        context: DistributedContext,
        on_progress: OnProgress,
        on_warning: Callable[[str], None],
    ) -> Measuring | None:
        """The metrics of ``config``; ``None`` if it names none. Nothing is computed yet.

        Raises:
            UsageError: a metric is unknown, or cannot be computed in training.
            MissingDependencyError: a metric needs a package that is not installed.
            WeightsError: a metric's weights cannot be downloaded.
        """
        if not config.names:
            return None
        rows = metric_rows(config.names)
        for row in rows:
            if row.needs == "pairs":
                raise UsageError(
                    f"{row.name} compares each image with its own reference image, which generated images do not have. "
                    "Remove it from metrics.names."
                )
        with _random_state_kept(context):
            runner = StatisticsRunner.for_metrics(rows, context, on_progress=on_progress, on_warning=on_warning)
        return cls(
            evaluator=Evaluator(rows=rows, runner=runner, num_images=config.num_images),
            num_images=config.num_images or max(row.num_images for row in rows),
            data=StoreImages(str(dataset.reader.path)),
        )

    @cached_property
    def data_side(self) -> SideStatistics:
        """Statistics of the training images: computed once, and kept between runs."""
        return self.evaluator.reference(self.data)

    def of(self, model: Model) -> list[MetricValue]:
        """The metrics of ``model``, on images of the seeds 0, 1, 2 ...; the run's random state is restored."""
        labels = self.data.labels(self.num_images, LABEL_SEED) if model.config.label_dim > 0 else None
        images = GeneratedImages(model, num=self.num_images, labels=labels)
        with _random_state_kept(self.evaluator.runner.context):
            values, _ = self.evaluator.of(images, self.data_side, stage="measuring", cache=False)
        return list(values)


def _random_state_kept(context: DistributedContext) -> Any:
    return torch.random.fork_rng(devices=[context.device] if context.device.type == "cuda" else [])
