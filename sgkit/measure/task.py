"""Metrics between two sets of images, either of which a model may generate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from sgkit.config.base import Config, Count, Text
from sgkit.config.train import Images
from sgkit.errors import UsageError
from sgkit.measure.inputs import GeneratedImages, ImageSet, ImageSetInfo, StoreImages, open_image_set
from sgkit.measure.statistics import StatisticsRunner
from sgkit.metrics.distances import SUBSET_SIZE
from sgkit.metrics.features import EXTRACTORS
from sgkit.metrics.registry import METRICS, MetricRecipe, MetricValue, metric_recipes
from sgkit.model.labels import LabelChoice
from sgkit.runtime.distributed import DistributedContext, distributed
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

_Number = Annotated[int, Field(ge=2, le=1 << 40)]


class MeasureConfig(Config):
    """What to compare, and how."""

    images: Text
    """Images to measure: a model, a store, or a folder, zip file or list of images."""
    data: Text
    """Reference images, of the same kinds; usually the training data."""
    metrics: tuple[str, ...] = ("fd_effnet", "kd_effnet")
    num_images: _Number | None = None
    """Images to measure; ``None``: the metrics' standard number for a model, all otherwise."""
    num_data: _Number | None = None
    """Reference images to use, a fixed random choice; ``None``: all."""
    truncation_psi: float = 1.0
    """For models: 1 measures what the model has learnt; less gives cleaner but more similar images."""
    label: LabelChoice | None = None
    """For conditional models; ``None``: labels drawn from the data."""
    batch: Images = 32
    seed: Count = 0
    """Draws labels and the subsets of kernel distances. Images are generated from seeds 0, 1, 2 ..."""
    device: str = "auto"
    num_workers: Count = 0
    """Processes that read a store."""
    cache: bool = True
    """Keep the statistics of the reference images between runs."""


@dataclass(frozen=True, kw_only=True)
class MeasureResult:
    """Result of :func:`measure`."""

    metrics: tuple[MetricValue, ...]
    images: ImageSetInfo
    data: ImageSetInfo
    extractors: dict[str, str]
    """Extractor name -> its content id: weights and preprocessing."""
    warnings: tuple[str, ...]
    """What may make the values misleading."""
    data_from_cache: bool
    """Whether the statistics of the reference images were kept by an earlier run."""


def measure(config: MeasureConfig, *, on_progress: OnProgress = ignore_progress) -> MeasureResult:
    """The metrics between the images and the data of ``config``. Under ``torchrun``, processes share the work.

    Raises:
        UsageError: a metric is unknown, an option has no effect, or a label does not fit the model.
        InputError: images are missing or cannot be read.
        MissingDependencyError: a metric needs a package that is not installed.
        WeightsError: a metric's weights cannot be downloaded.
    """
    recipes = metric_recipes(config.metrics)
    with distributed(config.device) as context:
        data, images = _open_sides(config, recipes, context)
        _refuse_idle(config, recipes, (images, data))
        notes: list[str] = []
        options = {"batch": config.batch, "cache": config.cache, "on_warning": notes.append}
        runner = StatisticsRunner.for_metrics(recipes, context, on_progress=on_progress, **options)
        reference, from_cache = runner.of_reference(data)
        measured = runner.of(images, stage="images")
    on_progress(Progress(done=0, total=len(recipes), unit="metrics", stage="comparing"))
    values = [
        recipe.value(measured[recipe.extractor], reference[recipe.extractor], seed=config.seed) for recipe in recipes
    ]
    on_progress(Progress(done=len(recipes), total=len(recipes), unit="metrics", stage="comparing"))
    return MeasureResult(
        metrics=tuple(values),
        images=images.info(),
        data=data.info(),
        extractors={one.extractor.name: one.extractor.content_id for one in runner.requests},
        warnings=(*_warnings(recipes, images.info(), data.info()), *notes),
        data_from_cache=from_cache,
    )


def _open_sides(
    config: MeasureConfig, recipes: Sequence[MetricRecipe], context: DistributedContext
) -> tuple[ImageSet, ImageSet]:
    """(data, images)."""
    same: dict[str, Any] = {
        "num_generated": max(recipe.num_images for recipe in recipes),
        "device": context.device,
        "truncation_psi": config.truncation_psi,
        "label": config.label,
        "seed": config.seed,
        "num_workers": config.num_workers,
    }
    data = open_image_set(config.data, num=config.num_data, **same)
    return data, open_image_set(config.images, num=config.num_images, label_pool=data, **same)


def _refuse_idle(config: MeasureConfig, recipes: Sequence[MetricRecipe], sides: Sequence[ImageSet]) -> None:
    """Refuse options that would have no effect."""
    models = [side.model for side in sides if isinstance(side, GeneratedImages)]
    no_model = "it applies to generated images, and neither --data nor the measured images are a model"
    draws = any(recipe.statistic == "bank" for recipe in recipes) and max(side.num for side in sides) > SUBSET_SIZE
    draws = draws or (config.label is None and any(model.config.label_dim for model in models))
    idle = {
        "--psi": (config.truncation_psi != 1 and not models, no_model),
        "--psi ": (
            config.truncation_psi != 1 and not any(model.generator.mapping.tracks_average for model in models),
            "this model has no average w to truncate towards",
        ),
        "--class": (config.label is not None and not models, no_model),
        "--seed": (config.seed != 0 and not draws, "nothing random is drawn: neither subsets of the images nor labels"),
        "--workers": (
            config.num_workers != 0 and not any(isinstance(side, StoreImages) for side in sides),
            "these processes read a store, and no store was given",
        ),
    }
    for option, (is_idle, because) in idle.items():
        if is_idle:
            raise UsageError(f"{option.strip()} has no effect here: {because}. Remove {option.strip()}.")


def _warnings(recipes: Sequence[MetricRecipe], images: ImageSetInfo, data: ImageSetInfo) -> Iterator[str]:
    for recipe in recipes:
        dim = EXTRACTORS[recipe.extractor].dim
        few = [info for info in (images, data) if recipe.statistic == "gaussian" and info.num_images <= dim]
        if few:
            counts = " and ".join(f"{info.num_images} images of {info.path}" for info in few)
            yield (
                f"{recipe.name}: {counts} are too few for the covariance of {dim} features (at least {dim + 1}), so "
                "the value is too high. Compare it only with values computed on the same number of images, or use "
                f"{_kernel_metric(recipe)}, which has no such bias."
            )
    for info in (images, data):
        if info.num_sizes > 1:
            yield (
                f"{info.path} has images of {info.size_text} (WxH). They are scaled to one size, so their sharpness "
                "differs. For comparable values, make a store of one size with: sgkit prepare"
            )
        if info.sample_bits < 16:
            yield (
                f"16-bit images of {info.path} use {info.sample_bits} bits and were scaled accordingly. To choose the "
                "number of bits, make a store with: sgkit prepare --bits"
            )
    if max(images.num_sizes, data.num_sizes) == 1 and images.image_size != data.image_size:
        sizes = [f"{width}x{height}" for height, width in (images.image_size, data.image_size)]
        yield f"The images are {sizes[0]}, the data {sizes[1]} (WxH), so one side is sharper, which affects the values."
    filters = (images.resize_filter, data.resize_filter)
    if None not in filters and filters[0] != filters[1]:
        yield f"The stores were resized by different filters, {filters[0]} and {filters[1]}, which affects the values."


def _kernel_metric(recipe: MetricRecipe) -> str:
    """The metric of the same features that works with few images."""
    return next(name for name, m in METRICS.items() if m.extractor == recipe.extractor and m.statistic == "bank")
