"""Feature statistics of image sets: shared over processes, and kept between runs for the reference images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sgkit.errors import SgkitError
from sgkit.faults import explain
from sgkit.measure.inputs import ImageSet
from sgkit.metrics.cache import StatisticsCache
from sgkit.metrics.features import load_extractor
from sgkit.metrics.registry import MetricRecipe, statistics_needed
from sgkit.metrics.statistics import FeatureRequest, FeatureStatistics, compute_statistics
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.weights import cache_folder


@dataclass(frozen=True, kw_only=True)
class StatisticsRunner:
    """Computes the statistics that some metrics need. All processes of ``context`` call it together."""

    requests: Sequence[FeatureRequest]
    context: DistributedContext
    batch: int = 32
    cache: bool = True
    """Keep the statistics of the reference images between runs."""
    on_progress: OnProgress = ignore_progress
    on_warning: Callable[[str], object] = str
    """Told why statistics could not be kept; results are not affected. The default tells nobody."""

    @classmethod
    def for_metrics(
        cls, recipes: Iterable[MetricRecipe], context: DistributedContext, **options: Any
    ) -> StatisticsRunner:
        """A runner with the extractors that ``recipes`` need; ``options`` are its other fields.

        Raises:
            MissingDependencyError: a metric needs a package that is not installed.
            WeightsError: a metric's weights cannot be downloaded.
        """
        tell: OnProgress = options.get("on_progress", ignore_progress)
        requests = [
            FeatureRequest(extractor=load_extractor(name, context.device, on_progress=tell), statistics=statistics)
            for name, statistics in statistics_needed(recipes).items()
        ]
        return cls(requests=requests, context=context, **options)

    def of_reference(self, images: ImageSet) -> tuple[dict[str, FeatureStatistics], bool]:
        """Extractor name -> statistics, from the cache if they are known; and whether all of them were."""
        if not self.cache:
            return self.of(images, stage="data"), False
        cache, content = StatisticsCache(cache_folder("statistics")), images.content()
        keys = {one.extractor.name: {"images": content, "extractor": one.extractor.content_id} for one in self.requests}
        found: dict[str, FeatureStatistics] = {}
        for one in self.requests:
            known = cache.load(keys[one.extractor.name], dim=one.extractor.dim, statistics=one.statistics)
            if known is not None:
                found[one.extractor.name] = known
        if all(self.context.gather_objects(len(found) == len(self.requests))):
            return found, True
        found = self.of(images, stage="data")
        if self.context.is_main:
            self._keep(cache, keys, found)
        self.context.barrier()
        return found, False

    def _keep(
        self, cache: StatisticsCache, keys: dict[str, dict[str, Any]], found: dict[str, FeatureStatistics]
    ) -> None:
        try:
            for name, key in keys.items():
                cache.save(key, found[name])
        except (OSError, SgkitError) as error:
            fault = explain(error)
            reason = fault.text if fault else str(error).rstrip(".")
            self.on_warning(
                f"The statistics of the data could not be kept in {cache.folder}: {reason}. They will be computed "
                "again next time. To keep them, set the environment variable SGKIT_CACHE to a writable folder."
            )

    def of(self, images: ImageSet, *, stage: str) -> dict[str, FeatureStatistics]:
        """Extractor name -> statistics of ``images``, of which each process reads a part."""
        rank, world_size = self.context.rank, self.context.world_size
        part = range(images.num * rank // world_size, images.num * (rank + 1) // world_size)
        batches = images.batches(part, self.batch)
        own = compute_statistics(
            batches, self.requests, num_images=len(part), stage=stage, on_progress=self.on_progress
        )
        whole: dict[str, FeatureStatistics]
        whole, *others = self.context.gather_objects(own)
        for other in others:
            for name, statistics in other.items():
                whole[name].merge(statistics)
        return whole
