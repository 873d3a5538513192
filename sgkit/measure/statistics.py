"""Statistics of both sides of a comparison, shared out over processes, those of the data kept between runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sgkit.errors import SgkitError
from sgkit.faults import explain
from sgkit.measure.inputs import Pile
from sgkit.metrics.cache import StatisticsCache
from sgkit.metrics.features import load_extractor
from sgkit.metrics.registry import MetricRecipe, statistics_needed
from sgkit.metrics.summary import FeatureSummary, Wanted, summarize
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.weights import cache_folder


@dataclass(frozen=True, kw_only=True)
class Summarizer:
    """What every pass over a pile of images shares. All processes of ``context`` call it together."""

    wanted: Sequence[Wanted]
    context: DistributedContext
    batch: int = 32
    cache: bool = True
    """Keep the statistics of the data between runs."""
    on_progress: OnProgress = ignore_progress
    on_warning: Callable[[str], object] = str
    """Told why statistics could not be kept; what was measured is right all the same. The default tells nobody."""

    @classmethod
    def of(cls, recipes: Iterable[MetricRecipe], context: DistributedContext, **options: Any) -> Summarizer:
        """One that knows the features and statistics that ``recipes`` compare.

        Raises:
            MissingDependencyError: a metric needs a package that is not installed.
            WeightsError: a metric's weights cannot be downloaded.
        """
        tell: OnProgress = options.get("on_progress", ignore_progress)
        wanted = [
            Wanted(extractor=load_extractor(name, context.device, on_progress=tell), statistics=statistics)
            for name, statistics in statistics_needed(recipes).items()
        ]
        return cls(wanted=wanted, context=context, **options)

    def of_data(self, data: Pile) -> tuple[dict[str, FeatureSummary], bool]:
        """Extractor name -> summary of the data, from the cache where it is known, and whether all of them were."""
        if not self.cache:
            return self.summaries(data, stage="data"), False
        cache, content = StatisticsCache(cache_folder("statistics")), data.content()
        found: dict[str, FeatureSummary] = {}
        for want in self.wanted:
            known = cache.load(_key(content, want), dim=want.extractor.dim, statistics=want.statistics)
            if known is not None:
                found[want.extractor.name] = known
        missing = [want for want in self.wanted if want.extractor.name not in found]
        if all(self.context.gather_objects(not missing)):
            return found, True
        found = self.summaries(data, stage="data")
        if self.context.is_main:
            self._keep(cache, {want.extractor.name: _key(content, want) for want in self.wanted}, found)
        self.context.barrier()
        return found, False

    def _keep(self, cache: StatisticsCache, keys: dict[str, dict[str, Any]], found: dict[str, FeatureSummary]) -> None:
        """Put summaries into the cache, or say why that is not possible."""
        try:
            for name, key in keys.items():
                cache.save(key, found[name])
        except (OSError, SgkitError) as error:
            fault = explain(error)
            reason = fault.text if fault else str(error).rstrip(".")
            self.on_warning(
                f"The statistics of the data could not be kept in {cache.folder}: {reason}. They are computed again "
                "next time. Set the environment variable SGKIT_CACHE to a folder that can be written to keep them."
            )

    def summaries(self, pile: Pile, *, stage: str) -> dict[str, FeatureSummary]:
        """Extractor name -> summary of ``pile``: each process looks at a stretch of it, then all are put together."""
        rank, world_size = self.context.rank, self.context.world_size
        part = range(pile.num * rank // world_size, pile.num * (rank + 1) // world_size)
        batches = pile.batches(part, self.batch)
        own = summarize(batches, self.wanted, num_images=len(part), stage=stage, on_progress=self.on_progress)
        first, *others = self.context.gather_objects(own)
        for other in others:
            for name, summary in other.items():
                first[name].merge(summary)
        whole: dict[str, FeatureSummary] = first
        return whole


def _key(content: dict[str, Any], want: Wanted) -> dict[str, Any]:
    return {"images": content, "extractor": want.extractor.content_id}
