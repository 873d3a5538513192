"""Metrics between two sets of images, either of which a model may generate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

import sgkit
from sgkit.config.base import Config, Count, Text
from sgkit.config.metric_row import MetricRow
from sgkit.config.train import Images
from sgkit.config.words import FeaturePrecision
from sgkit.errors import InputError, UsageError
from sgkit.measure.cautions import cautions
from sgkit.measure.evaluating import Evaluator
from sgkit.measure.image_info import ImageSetInfo
from sgkit.measure.inputs import GeneratedImages, ImageSet, StoreImages
from sgkit.measure.neighbours import write_neighbours
from sgkit.measure.opening import is_projections, model_at, open_image_set
from sgkit.measure.pairs import paired
from sgkit.measure.statistics import VERSIONS, SideStatistics, StatisticsRunner
from sgkit.measure.statistics_files import save_statistics
from sgkit.metrics.discriminator import DiscriminatorExtractor
from sgkit.metrics.distances import SUBSET_SIZE
from sgkit.metrics.equivariance import check_movable
from sgkit.metrics.features import FeatureExtractor
from sgkit.metrics.image_classifier import load_classifier
from sgkit.metrics.registry import metric_rows, statistics_needed
from sgkit.metrics.values import MetricValue
from sgkit.model.labels import LabelChoice
from sgkit.runtime.distributed import DistributedContext, distributed
from sgkit.runtime.files import check_new
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.store.header import LabelSchema

DRAWING = (
    "frechet_infinity",
    "precision_recall_curve",
    "duplicates",
    "path_length",
    "equivariance",
    "sliced_wasserstein",
)
"""Methods that draw random numbers, however many images there are."""
_CPU = torch.device("cpu")
_Number = Annotated[int, Field(ge=2, le=1 << 40)]


class MeasureConfig(Config):
    """What to compare, and how."""

    images: Text
    """Images to measure: a model, a store, or a folder, zip file or list of images."""
    data: Text | None = None
    """Reference images, of the same kinds; usually the training data. ``None``: only for metrics that need none."""
    metrics: tuple[str, ...] = ("fd_effnet", "kd_effnet")
    num_images: _Number | None = None
    """Images to measure; ``None``: the metrics' standard number for a model, all otherwise."""
    num_data: _Number | None = None
    """Reference images to use, a fixed random choice; ``None``: all."""
    truncation_psi: float = 1.0
    """For models: 1 measures what the model has learnt; less gives cleaner but more similar images."""
    label: LabelChoice | None = None
    """For conditional models: a class, ``random``, or several, one after another; ``None``: labels drawn from the
    data."""
    discriminator: Text | None = None
    """The model whose discriminator makes the features of the network ``d``; ``None``: the measured one, if it is one
    alone."""
    classifier: Text | None = None
    """Of images, a file; for linear separability."""
    batch: Images = 32
    seed: Count = 0
    """Draws labels and the subsets of kernel distances. Images are generated from seeds 0, 1, 2 ..."""
    device: str = "auto"
    precision: FeaturePrecision = "fp32"
    """Number format of the feature networks; images are always generated in fp32."""
    num_workers: Count = 0
    """Processes that read a store."""
    cache: bool = True
    """Keep the statistics of images between runs."""
    by_class: bool = False
    """Measure each class of the reference store by itself, against the same class of a model or store."""
    confidence: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Sets of resampled images for confidence intervals, 2 or more; 0: none."""
    save_statistics: Text | None = None
    """Write the statistics of the measured images into this ``.npz``, for later comparisons."""
    neighbours: Text | None = None
    """Write a PNG of the first measured images, each beside its nearest reference images."""
    overwrite: bool = False
    """Whether ``save_statistics`` and ``neighbours`` may replace files."""


@dataclass(frozen=True, kw_only=True)
class MeasureResult:
    """Result of :func:`measure`."""

    metrics: tuple[MetricValue, ...]
    images: ImageSetInfo
    data: ImageSetInfo | None
    """``None``: no metric needed reference images."""
    extractors: dict[str, str]
    """Extractor name -> its content id: weights and preprocessing."""
    warnings: tuple[str, ...]
    """What may make the values misleading."""
    data_from_cache: bool
    """Whether the statistics of the reference images were kept by an earlier run."""
    images_from_cache: bool = False
    """The same of the measured images."""
    class_name: str | None = None
    """The class that was measured, on both sides; ``None``: all."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of sgkit and of the libraries that matter."""
    device: str = "cpu"
    measured_at: str = ""
    """Date and time, in UTC."""
    seconds: float = 0.0
    """Time that it took."""


def measure(config: MeasureConfig, *, on_progress: OnProgress = ignore_progress) -> MeasureResult:
    """The metrics between the images and the data of ``config``. Under ``torchrun``, processes share the work.

    Raises:
        UsageError: a metric is unknown, an option has no effect, or a label does not fit the model.
        InputError: images are missing or cannot be read.
        MissingDependencyError: a metric needs a package that is not installed.
        WeightsError: a metric's weights cannot be downloaded.
    """
    return measure_each(config, [config.images], on_progress=on_progress)[0]


def measure_each(
    config: MeasureConfig, several: Sequence[str], *, on_progress: OnProgress = ignore_progress
) -> list[MeasureResult]:
    """As :func:`measure`, of each of ``several`` in place of ``config.images``: the reference images are read once."""
    rows = metric_rows(config.metrics)
    check_saving(config, rows, several)
    with distributed(config.device) as context:
        _computed(config, rows, several)  # before networks are loaded
        notes: list[str] = []
        how: dict[str, Any] = {"batch": config.batch, "cache": config.cache, "precision": config.precision}
        how |= {"on_progress": on_progress, "on_warning": notes.append}
        how |= {"made": _own_network(config, rows, several, context)}
        runner = StatisticsRunner.for_metrics(rows, context, **how)
        results: list[MeasureResult] = []
        for index, name in _classes(config):
            session = _begin(config, rows, runner, class_index=index)
            results += [replace(session.of(path), class_name=name) for path in several]
        return [replace(one, warnings=(*one.warnings, *dict.fromkeys(notes))) for one in results]


def _classes(config: MeasureConfig) -> list[tuple[int | None, str | None]]:
    """Number and name of each class that is measured by itself; one ``None``: all images together."""
    if not config.by_class:
        return [(None, None)]
    if config.label is not None:
        raise UsageError("--by-class measures every class; remove --class.")
    data = None if config.data is None else open_image_set(config.data, num=None, num_generated=2, device=_CPU)
    schema = data.dataset.header.labels if isinstance(data, StoreImages) else LabelSchema()
    if schema.kind != "class":
        raise UsageError(
            f"--by-class needs reference images with classes; {config.data} has none. Prepare a store with classes: "
            "sgkit prepare IMAGES --labels folders --out STORE"
        )
    return list(enumerate(schema.names))


def check_saving(config: MeasureConfig, rows: Sequence[MetricRow], several: Sequence[str]) -> None:
    """Refuse to save statistics of several networks or sets of images into one file, and intervals of one sample.

    Raises:
        UsageError: that was asked for, or a file's name has another ending.
        InputError: there is such a file.
    """
    if config.confidence == 1:
        raise UsageError("An interval needs at least 2 sets of resampled images; 1 was given. Use --confidence 200.")
    networks = list(statistics_needed(rows))
    if config.neighbours is not None:
        _check_neighbours(config, [name for name in networks if name != "pixels"], several)
    if config.save_statistics is None:
        return
    if len(networks) != 1 or len(several) != 1:
        raise UsageError(
            f"A statistics file holds one set of images and one network; given: {len(several)} of images, and metrics "
            f"of {', '.join(networks) or 'no network'}. Name metrics of one network with --metrics."
        )
    if not config.save_statistics.endswith(".npz"):
        raise UsageError(f"Unsupported statistics file {config.save_statistics!r}. Its name must end in .npz.")
    check_new(config.save_statistics, overwrite=config.overwrite)


def _check_neighbours(config: MeasureConfig, networks: Sequence[str], several: Sequence[str]) -> None:
    if len(several) != 1 or config.data is None or not networks or config.by_class:
        raise UsageError(
            "--neighbours shows one set of images beside reference images, by the features of a metric: give one "
            "model, --data, and a metric of features, such as fd_effnet."
        )
    if Path(str(config.neighbours)).suffix.lower() != ".png":
        raise UsageError(f"Unsupported image {config.neighbours!r}. The name given to --neighbours must end in .png.")
    check_new(str(config.neighbours), overwrite=config.overwrite)


@dataclass(frozen=True, kw_only=True)
class _Session:
    """The reference images, ready for one set of images after another."""

    config: MeasureConfig
    class_index: int | None
    evaluator: Evaluator
    data: ImageSet | None
    reference: SideStatistics | None

    def of(self, path: str) -> MeasureResult:
        """The metrics of the images at ``path``."""
        began, runner, rows = time.monotonic(), self.evaluator.runner, self.evaluator.all_rows
        more = {"label_pool": self.data, "class_index": self.class_index}
        images = _open(self.config, rows, runner.context, path, self.config.num_images, **more)
        opened = [side for side in (images, self.data) if side is not None]
        _refuse_idle(self.config, rows, opened)
        data, pairs = self._pairs(path, images)
        opened += [data] if data is not None and self.data is None else []
        values, measured = self.evaluator.of(images, self.reference, pairs=pairs)
        if self.config.save_statistics is not None and runner.context.is_main:
            self._save(measured, self.config.save_statistics)
        if self.config.neighbours is not None and self.data is not None:
            network = next(name for name in statistics_needed(rows) if name != "pixels")
            write_neighbours(Path(self.config.neighbours), images, self.data, runner, network)
        sides = [side.info() for side in opened]
        return MeasureResult(
            metrics=values,
            images=sides[0],
            data=sides[1] if len(sides) > 1 else None,
            extractors={name: one.content_id for name, one in runner.extractors.items()},
            warnings=tuple(cautions(self.evaluator.rows, sides)),
            data_from_cache=self.reference is not None and self.reference.from_cache,
            images_from_cache=measured.from_cache,
            versions={"sgkit": sgkit.__version__, **VERSIONS},
            device=runner.context.device.type,
            measured_at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds=round(time.monotonic() - began, 3),
        )

    def _pairs(self, path: str, images: ImageSet) -> tuple[ImageSet | None, SideStatistics | None]:
        """The reference image of each image and their statistics, if a metric compares pairs."""
        rows = [row for row in self.evaluator.rows if row.needs == "pairs"]
        if not rows:
            return None, None
        data = self.data
        if data is None:  # of a projection, the target
            data = _open(self.config, rows, self.evaluator.runner.context, path, self.config.num_data, is_data=True)
        data = paired(images, data)
        return data, self.evaluator.reference(data, "pairs")

    def _save(self, measured: SideStatistics, path: str) -> None:
        found = max(measured.found.values(), key=lambda one: one.num)
        (extractor,) = self.evaluator.runner.extractors.values()
        images = measured.images
        save_statistics(path, found, extractor, images.info(), versions=VERSIONS, content=images.content())


def _options(config: MeasureConfig, context: DistributedContext, on_progress: OnProgress) -> dict[str, Any]:
    """What single metrics need besides images."""
    if config.classifier is None:
        return {}
    return {"classifier": load_classifier(config.classifier, context.device, on_progress=on_progress)}


def _begin(
    config: MeasureConfig, rows: Sequence[MetricRow], runner: StatisticsRunner, *, class_index: int | None
) -> _Session:
    context, data = runner.context, None
    if config.data is not None:
        data = _open(config, rows, context, config.data, config.num_data, class_index=class_index, is_data=True)
    computed = _computed(config, rows, [config.images])
    evaluator = Evaluator(
        rows=computed,
        also_needed=[row for row in rows if row not in computed],
        runner=runner,
        num_images=config.num_images,
        num_data=config.num_data,
        seed=config.seed,
        num_resampled=config.confidence,
        options=_options(config, context, runner.on_progress),
    )
    reference = None if data is None else evaluator.reference(data)
    return _Session(config=config, class_index=class_index, evaluator=evaluator, data=data, reference=reference)


def _computed(config: MeasureConfig, rows: Sequence[MetricRow], several: Sequence[str]) -> list[MetricRow]:
    """The metrics whose values can be computed: without reference images, statistics can only be saved.

    Raises:
        UsageError: a metric needs reference images, and nothing is saved.
    """
    with_targets = all(is_projections(path) for path in several)
    lacking = [row for row in rows if row.needs == "data" or (row.needs == "pairs" and not with_targets)]
    computed = [row for row in rows if config.data is not None or row not in lacking]
    if len(computed) < len(rows) and config.save_statistics is None:
        name = next(row.name for row in rows if row not in computed)
        raise UsageError(f"Missing option '--data': the images to compare with ({name}), usually the training data.")
    return computed


def _own_network(
    config: MeasureConfig, rows: Sequence[MetricRow], several: Sequence[str], context: DistributedContext
) -> Mapping[str, FeatureExtractor]:
    """The discriminator that ``rows`` compare by, if they do: the one named, or that of the only model measured.

    Raises:
        UsageError: several models are measured and none is named; or its file holds no discriminator.
        InputError: it is not a model.
    """
    named, path = [row.name for row in rows if row.network == DiscriminatorExtractor.name], config.discriminator
    if not named:
        if path is not None:
            raise UsageError(
                "--discriminator has no effect here: no metric compares by it. Remove it, or add fd_d to --metrics."
            )
        return {}
    if path is None and len(several) > 1:
        raise UsageError(
            f"{named[0]} compares by one discriminator, but {len(several)} sets of images were given; values by the "
            "discriminator of each would not be comparable. Name the model whose discriminator compares all of them: "
            f"--discriminator {several[0]}"
        )
    path = path or several[0]
    model = model_at(path, context.device)
    if model is None:
        raise InputError(
            f"{named[0]} compares by the discriminator of a model, but {path} holds images. Name a model with "
            "--discriminator MODEL, or use the metrics of effnet."
        )
    return {DiscriminatorExtractor.name: DiscriminatorExtractor(model, path)}


def _open(
    config: MeasureConfig,
    rows: Sequence[MetricRow],
    context: DistributedContext,
    path: str,
    num: int | None,
    **more: Any,
) -> ImageSet:
    return open_image_set(
        path,
        num=num,
        num_generated=max(row.num_images for row in rows),
        device=context.device,
        truncation_psi=config.truncation_psi,
        label=config.label,
        seed=config.seed,
        num_workers=config.num_workers,
        **more,
    )


def _refuse_idle(config: MeasureConfig, rows: Sequence[MetricRow], sides: Sequence[ImageSet]) -> None:
    """Refuse options that would have no effect."""
    models = [side.model for side in sides if isinstance(side, GeneratedImages)]
    sampling = [row.name for row in rows if row.needs == "generator"]
    if sampling and not isinstance(sides[0], GeneratedImages):
        raise InputError(
            f"{sampling[0]} measures a generator, but {sides[0].info().path} holds images. Give a model or a run, or "
            "choose another metric."
        )
    for row in rows:
        if row.method == "equivariance" and isinstance(sides[0], GeneratedImages):
            check_movable(sides[0].model)
        single = [side for side in sides[: 2 if row.needs == "data" else 1] if side.num == 1]
        if single and row.network and row.needs != "pairs":
            raise InputError(f"{single[0].info().path} has 1 image; {row.name} needs at least 2. Give more images.")
    no_model = "it applies to generated images, and neither --data nor the measured images are a model"
    draws = any(row.method == "kernel" for row in rows) and max(side.num for side in sides) > SUBSET_SIZE
    draws = draws or config.confidence > 0 or any(row.method in DRAWING for row in rows)
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
