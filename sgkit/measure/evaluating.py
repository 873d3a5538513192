"""The values of metrics for one image set against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sgkit.config.metric_row import MetricRow, Needs
from sgkit.measure.inputs import GeneratedImages, ImageSet
from sgkit.measure.statistics import SideStatistics, StatisticsRunner, needs_of
from sgkit.metrics.registry import evaluate, with_intervals
from sgkit.metrics.values import MetricInputs, MetricValue
from sgkit.runtime.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Metrics against one set of reference images. All processes call it together."""

    rows: Sequence[MetricRow]
    runner: StatisticsRunner
    num_images: int | None = None
    """Images of a model to measure; ``None``: as many as each metric's protocol says."""
    num_data: int | None = None
    """Reference images that were chosen; ``None``: as many as each metric's protocol says."""
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    num_resampled: int = 0
    """Sets of resampled images for confidence intervals; 0: none."""
    also_needed: Sequence[MetricRow] = ()
    """Metrics whose statistics are computed, but not their values."""

    @property
    def all_rows(self) -> list[MetricRow]:
        """All metrics that statistics are computed for."""
        return [*self.rows, *self.also_needed]

    def reference(self, data: ImageSet, needs_kind: Needs = "data") -> SideStatistics:
        """Statistics of the reference images, for :meth:`of`: for metrics that need ``data``, or ``pairs``."""
        rows = [row for row in self.rows if row.needs == needs_kind]
        needs = needs_of(rows, lambda row: self._num_data(row, data), of_data=True, resampled=self.num_resampled > 0)
        return self.runner.side(data, needs, stage="data")

    def of(
        self,
        images: ImageSet,
        data: SideStatistics | None,
        *,
        pairs: SideStatistics | None = None,
        stage: str = "images",
        cache: bool = True,
    ) -> tuple[tuple[MetricValue, ...], SideStatistics]:
        """The values of all metrics for ``images``, and the statistics that they were computed from.

        Raises:
            InputError: the images do not suffice for a metric, or a metric needs a generator or reference images.
        """
        needs = needs_of(self.all_rows, lambda row: self._num_images(row, images), resampled=self.num_resampled > 0)
        measured = self.runner.side(images, needs, stage=stage, cache=cache)
        values: dict[str, tuple[MetricValue, ...]] = {}
        self._tell(0)
        # those that sample the generator take the longest, so what the images do not suffice for is said before
        for done, row in enumerate(sorted(self.rows, key=lambda row: row.needs == "generator"), start=1):
            inputs = self._inputs(row, measured, {"data": data, "pairs": pairs}.get(row.needs))
            found = evaluate(inputs)
            if self.num_resampled:
                found = with_intervals(found, inputs, num_samples=self.num_resampled)
            values[row.name] = found
            self._tell(done)
        return tuple(value for row in self.rows for value in values[row.name]), measured

    def _inputs(self, row: MetricRow, measured: SideStatistics, data: SideStatistics | None) -> MetricInputs:
        images = measured.images
        return MetricInputs(
            row=row,
            measured=measured.of(row, self._num_images(row, images)),
            data=data.of(row, self._num_data(row, data.images)) if data else None,
            extractor=self.runner.extractors.get(row.network),
            generator=images.source(self.runner.batch) if isinstance(images, GeneratedImages) else None,
            num_images=self.num_images or row.num_images,
            seed=self.seed,
            context=self.runner.context,
            options=self.options,
            on_progress=self.runner.on_progress,
        )

    def _num_images(self, row: MetricRow, images: ImageSet) -> int | None:
        return None if self.num_images is not None or not images.nested else row.num_images

    def _num_data(self, row: MetricRow, data: ImageSet) -> int | None:
        if self.num_data is not None:
            return None
        wanted = row.num_images if data.nested and row.num_data is None else row.num_data
        return None if wanted is None or wanted >= data.num else wanted

    def _tell(self, done: int) -> None:
        self.runner.on_progress(Progress(done=done, total=len(self.rows), unit="metrics", stage="comparing"))
