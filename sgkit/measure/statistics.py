"""Feature statistics of image sets: shared over processes, and kept between runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import PIL
import torch

from sgkit.config.metric_row import MetricRow, Statistic
from sgkit.config.words import FeaturePrecision
from sgkit.errors import SgkitError, UsageError
from sgkit.faults import explain
from sgkit.measure.faces import FaceExtractor
from sgkit.measure.inputs import ImageSet
from sgkit.metrics.cache import FOLDER_BYTES, LIMIT_VARIABLE, StatisticsCache
from sgkit.metrics.features import FeatureExtractor, load_extractor
from sgkit.metrics.registry import statistics_needed
from sgkit.metrics.statistics import FeatureRequest, FeatureStatistics, compute_statistics
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.limits import size_setting
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.weights import cache_folder

VERSIONS = {"torch": torch.__version__.split("+")[0], "pillow": PIL.__version__}
"""Libraries whose versions may change features in the last digits, or the pixels of decoded images."""
Need = tuple[str, int | None]
"""Name of a feature network, and the number of images; ``None``: all."""


@dataclass(frozen=True, kw_only=True)
class SideStatistics:
    """The statistics of one side of a comparison."""

    images: ImageSet
    found: Mapping[Need, FeatureStatistics]
    from_cache: bool
    """Whether none of them had to be computed."""

    def of(self, row: MetricRow, num: int | None) -> FeatureStatistics | None:
        """Statistics for ``row`` of ``num`` images (``None``: all); ``None`` if it needs none."""
        return self.found[(row.network, num)] if row.network else None


def needs_of(
    rows: Iterable[MetricRow], num: Callable[[MetricRow], int | None], *, of_data: bool = False, resampled: bool = False
) -> dict[Need, frozenset[Statistic]]:
    """(network, number of images) -> statistics that ``rows`` need, where ``num`` says how many images each needs.

    ``of_data`` and ``resampled`` are those of :func:`sgkit.metrics.registry.statistics_needed`.
    """
    needed: dict[Need, frozenset[Statistic]] = {}
    for row in rows:
        for network, statistics in statistics_needed([row], of_data=of_data, resampled=resampled).items():
            need = (network, num(row))
            needed[need] = needed.get(need, frozenset()) | statistics
    return needed


@dataclass(frozen=True, kw_only=True)
class StatisticsRunner:
    """Computes the statistics that some metrics need. All processes of ``context`` call it together."""

    extractors: Mapping[str, FeatureExtractor]
    context: DistributedContext
    batch: int = 32
    cache: bool = True
    """Keep statistics between runs."""
    on_progress: OnProgress = ignore_progress
    on_warning: Callable[[str], object] = str
    """Told why statistics could not be kept; results are not affected. The default tells nobody."""

    @classmethod
    def for_metrics(cls, rows: Iterable[MetricRow], context: DistributedContext, **options: Any) -> StatisticsRunner:
        """A runner with the extractors that ``rows`` need; ``options`` are its other fields, and ``precision``.

        ``made``, another one, has extractors that are there already, by name.

        Raises:
            MissingDependencyError: a metric needs a package that is not installed.
            WeightsError: a metric's weights cannot be downloaded.
        """
        tell: OnProgress = options.get("on_progress", ignore_progress)
        precision: FeaturePrecision = options.pop("precision", "fp32")
        extractors: dict[str, FeatureExtractor] = dict(options.pop("made", {}))
        for name in statistics_needed(rows):
            if name not in extractors:
                extractors[name] = _loaded(name, context.device, tell, precision)
        return cls(extractors=extractors, context=context, **options)

    def side(
        self, images: ImageSet, needs: Mapping[Need, frozenset[Statistic]], *, stage: str, cache: bool = True
    ) -> SideStatistics:
        """The statistics ``needs`` of ``images``: saved or kept ones where there are, and the others computed.

        Images are read once, or once for each number of images where these are not the first ones of each other.
        """
        requests = {need: self._request(images, need, statistics) for need, statistics in needs.items()}
        found = dict(self._known(images, requests))
        store = None
        if cache and self.cache:
            store = StatisticsCache(cache_folder("statistics"), limit=size_setting(LIMIT_VARIABLE, FOLDER_BYTES))
        keys: dict[Need, dict[str, Any]] = {}
        if store is not None:
            keys = {need: self._key(images, request) for need, request in requests.items() if need not in found}
            kept = {need: store.load(key, requests[need].empty()) for need, key in keys.items()}
            everywhere = self.context.gather_objects({need for need, one in kept.items() if one is not None})
            common = set.intersection(*everywhere)  # all processes compute, or none
            found |= {need: one for need, one in kept.items() if one is not None and need in common}
        missing = {need: request for need, request in requests.items() if need not in found}
        for chosen, needed in _passes(images, missing):
            found |= dict(zip(needed, self.of(chosen, list(needed.values()), stage=stage), strict=True))
        if store is not None and missing:
            self._keep(store, [(keys[need], found[need]) for need in missing])
        return SideStatistics(images=images, found=found, from_cache=not missing)

    def _request(self, images: ImageSet, need: Need, statistics: frozenset[Statistic]) -> FeatureRequest:
        num = None if need[1] is None or need[1] >= images.num > 0 else need[1]
        return FeatureRequest(extractor=self.extractors[need[0]], statistics=statistics, num=num)

    def _known(
        self, images: ImageSet, requests: Mapping[Need, FeatureRequest]
    ) -> Iterator[tuple[Need, FeatureStatistics]]:
        for need, request in requests.items():
            known = images.known(request.extractor, request.statistics)
            if known is not None:
                yield need, known

    def _key(self, images: ImageSet, request: FeatureRequest) -> dict[str, Any]:
        """All that statistics depend on, as plain values."""
        chosen = images if request.num is None else images.subset(request.num)
        return {
            "images": chosen.content(),
            "extractor": request.extractor.content_id,
            "device": self.context.device.type,
            "versions": VERSIONS,
        }

    def _keep(self, cache: StatisticsCache, kept: Sequence[tuple[Mapping[str, Any], FeatureStatistics]]) -> None:
        if self.context.is_main:
            try:
                for key, statistics in kept:
                    cache.save(key, statistics)
            except (OSError, SgkitError) as error:
                fault = explain(error)
                reason = fault.text if fault else str(error).rstrip(".")
                self.on_warning(
                    f"The statistics could not be kept in {cache.folder}: {reason}. They will be computed again next "
                    "time. To keep them, set the environment variable SGKIT_CACHE to a writable folder."
                )
        self.context.barrier()

    def of(self, images: ImageSet, requests: Sequence[FeatureRequest], *, stage: str) -> list[FeatureStatistics]:
        """For each request its statistics of ``images``, of which each process reads a part."""
        rank, world_size = self.context.rank, self.context.world_size
        first, last = (images.num * one // world_size for one in (rank, rank + 1))
        part = range(first - first % 2, last - last % 2 if rank + 1 < world_size else last)
        own = compute_statistics(
            images.batches(part, self.batch),
            requests,
            num_images=len(part),
            start=part.start,
            stage=stage,
            on_progress=self.on_progress,
        )
        whole: list[FeatureStatistics]
        whole, *others = self.context.gather_objects(own)
        for other in others:
            for mine, more in zip(whole, other, strict=True):
                mine.merge(more)
        return whole


def _loaded(name: str, device: torch.device, tell: OnProgress, precision: FeaturePrecision) -> FeatureExtractor:
    if name != FaceExtractor.name:
        return load_extractor(name, device, on_progress=tell, precision=precision)
    if precision != "fp32":
        raise UsageError(f"The features {name!r} are computed in fp32 only. Remove --precision {precision}.")
    return FaceExtractor(device)


def _passes(
    images: ImageSet, missing: Mapping[Need, FeatureRequest]
) -> Iterator[tuple[ImageSet, dict[Need, FeatureRequest]]]:
    """Which images to read, and what for, each pass."""
    if images.nested:
        needed = max((request.num or images.num for request in missing.values()), default=0)
        if missing:
            yield images.subset(needed), dict(missing)
        return
    for num in dict.fromkeys(request.num for request in missing.values()):
        chosen = images if num is None else images.subset(num)
        yield chosen, {need: replace(one, num=None) for need, one in missing.items() if one.num == num}
