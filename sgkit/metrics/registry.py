"""The metrics by name, and how their values are computed.

To add a metric:

1. Write its method, a function ``(inputs: MetricInputs) -> Score`` (or a sequence of scores, if ``row.values`` has
   several endings), in a module of this folder, and add it to :data:`METHODS`. It reads ``inputs.of_measured(name)``
   and ``inputs.of_data(name)`` (a ``bank`` is float32 [N, dim], a ``gaussian`` is a
   :class:`~sgkit.metrics.statistics.Gaussian`), or samples ``inputs.the_generator()``; parameters of the protocol come
   from ``inputs.parameter(name, default)``. All processes call it together: one that samples the generator shares the
   work through ``inputs.context``, and gives every process the same scores.
2. Add a row to :data:`sgkit.config.metrics.METRIC_ROWS` (which loads nothing) that names the method, the feature
   network, the statistics and the protocol. ``needs="images"`` for metrics without reference images,
   ``needs="pairs"`` for those that compare each image with its own reference image, ``needs="generator"`` for those
   that sample a model by themselves (``network=""``, ``statistics=()``). What a new method measures is said in
   :data:`sgkit.config.metric_catalog.MEASURES`.
3. What neither mean and covariance nor all features can serve is a new statistic: a class with ``num``, ``update``,
   ``merge``, ``result``, ``to_arrays`` and ``restore`` in :data:`sgkit.metrics.statistics.STATISTICS`. With the network
   ``pixels``, ``update`` is given the images themselves, uint8 [N, C, H, W].

Features are computed once for all metrics of a call, statistics are merged over processes in the order of the images,
and each process begins at an even position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sgkit.config.metric_row import MetricRow, Statistic
from sgkit.config.metrics import METRIC_ROWS, check_metrics, metric_named
from sgkit.metrics import generator_methods, methods
from sgkit.metrics.statistics import FeatureStatistics
from sgkit.metrics.uncertainty import resampled
from sgkit.metrics.values import Method, MetricInputs, MetricValue, Score
from sgkit.runtime.progress import Progress

METHODS: dict[str, Method] = {
    "frechet": methods.frechet,
    "kernel": methods.kernel,
    "precision_recall": methods.precision_recall,
    "inception_score": methods.inception_score,
    "frechet_infinity": methods.frechet_infinity,
    "precision_recall_curve": methods.precision_recall_curve,
    "duplicates": methods.duplicates,
    "pair_distance": methods.pair_distance,
    "mean_distance": methods.mean_distance,
    "density_coverage": generator_methods.density_coverage,
    "cmmd": generator_methods.cmmd,
    "sliced_wasserstein": generator_methods.patch_distance,
    "ms_ssim": generator_methods.pair_similarity,
    "path_length": generator_methods.path_length,
    "equivariance": generator_methods.equivariance_ratio,
    "linear_separability": generator_methods.linear_separability,
}
METRICS: dict[str, MetricRow] = {row.name: row for row in METRIC_ROWS}


def metric_rows(names: Iterable[str]) -> tuple[MetricRow, ...]:
    """The metrics called ``names``, in that order, each once.

    Raises:
        UsageError: a name is unknown, or there is none.
    """
    wanted = tuple(dict.fromkeys(names))
    check_metrics(wanted)
    return tuple(metric_named(name) for name in wanted)


def statistics_needed(
    rows: Iterable[MetricRow], *, of_data: bool = False, resampled: bool = False
) -> dict[str, frozenset[Statistic]]:
    """Name of a feature network -> the statistics of its features that ``rows`` need.

    Args:
        of_data: of the reference images, instead of the measured ones.
        resampled: for confidence intervals as well, which need all features.
    """
    needed: dict[str, frozenset[Statistic]] = {}
    for row in rows:
        if row.network:
            own = row.data_statistics if of_data and row.data_statistics is not None else row.statistics
            more = {"bank"} if resampled and can_be_resampled(row) else set()
            needed[row.network] = needed.get(row.network, frozenset()) | set(own) | more
    return needed


def can_be_resampled(row: MetricRow) -> bool:
    """Whether a metric has confidence intervals: it is computed from statistics that features alone give."""
    if row.data_statistics is not None or row.needs == "pairs" or not row.network:
        return False
    return set(row.statistics) <= {"gaussian", "bank"}


REPEATS_MISLEAD = ("precision_recall", "density_coverage", "precision_recall_curve", "duplicates", "mean_distance")
"""Methods that look at nearest neighbours or clusters, which repeated images would change."""


def with_intervals(values: Sequence[MetricValue], inputs: MetricInputs, *, num_samples: int) -> tuple[MetricValue, ...]:
    """``values`` of :func:`evaluate` with 95% confidence intervals, from ``num_samples`` sets of resampled images."""
    row = inputs.row
    if inputs.measured is None or not can_be_resampled(row):
        return tuple(values)

    def again(measured: FeatureStatistics, data: FeatureStatistics | None) -> list[float]:
        found = METHODS[row.method](replace(inputs, measured=measured, data=data))
        return [score.value for score in ((found,) if isinstance(found, Score) else found)]

    def tell(done: int) -> None:
        stage = f"resampling for {row.name}"
        inputs.on_progress(Progress(done=done, total=num_samples, unit="samples", stage=stage))

    with_repeats = row.method not in REPEATS_MISLEAD
    options: dict[str, Any] = {
        "num_samples": num_samples,
        "replace": with_repeats,
        "seed": inputs.seed,
        "on_sample": tell,
    }
    found = resampled([value.value for value in values], again, inputs.measured, inputs.data, **options)
    kind = f"{num_samples} bootstrap samples" if with_repeats else f"{num_samples} random halves"
    return tuple(
        replace(value, interval=(one.low, one.high), std=one.std, std_of=kind)
        for value, one in zip(values, found, strict=True)
    )


def evaluate(inputs: MetricInputs) -> tuple[MetricValue, ...]:
    """The values of a metric.

    Raises:
        InputError: the images do not suffice for it, or their features are broken.
    """
    row = inputs.row
    found = METHODS[row.method](inputs)
    scores = (found,) if isinstance(found, Score) else tuple(found)
    num_images = inputs.num_images if inputs.measured is None else inputs.measured.num or None
    num_data = None if inputs.data is None else inputs.data.num or None
    note = getattr(inputs.extractor, "note", "")  # where a network does not compute the same for everybody
    notes = (*_too_few(row, num_images, inputs.data), *([note] if note else []))
    return tuple(
        MetricValue(
            name=name,
            value=score.value,
            std=score.std,
            std_of=score.std_of,
            num_images=num_images,
            num_data=num_data,
            better=row.better,
            unit=row.unit,
            metric=row.name,
            protocol=protocol_of(row, seed=inputs.seed),
            notes=(*notes, *score.notes),
            details=score.details,
        )
        for name, score in zip(row.value_names, scores, strict=True)
    )


def protocol_of(row: MetricRow, *, seed: int) -> dict[str, Any]:
    """How a metric is computed, as plain values for the record."""
    return {
        "protocol": row.protocol or "sgkit",
        "method": row.method,
        "network": row.network,
        "num_images": row.num_images,
        "num_data": row.num_data,
        **row.parameters,
        "seed": seed,
        "paper": row.paper,
    }


def _too_few(row: MetricRow, num_images: int | None, data: FeatureStatistics | None) -> Iterable[str]:
    if num_images is not None and num_images < row.num_images:
        yield f"{num_images:,} of {row.num_images:,} images"
    if row.num_data is not None and data is not None and 0 < data.num < row.num_data:
        yield f"{data.num:,} of {row.num_data:,} reference images"
