"""Events of a run and their sentences: what is trained on what, what it starts from, what went wrong."""

from __future__ import annotations

from collections.abc import Callable

from sgkit.runs.config import DataFacts, RunConfig
from sgkit.runs.folder import RunFolder
from sgkit.runs.presets import parameter_counts
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.store.header import Header, size_text
from sgkit.training.health import Event
from sgkit.training.transfer import Transfer

START, INIT, NEW_DATA = "start", "init", "new data"
"""Names of events: what the run is (shown, not logged), what it starts from, that it continues with other images."""
DAMAGED, SKIPPED, ROLLBACK = "damaged snapshot", "skipped update", "rollback"

OnEvent = Callable[[Event], None]
"""Called with each event: what the run is, a damaged snapshot, signs of collapse, a rollback."""


def ignore_event(event: Event) -> None:
    """The default callback: events are in the log and the report anyway."""


def introduction(
    folder: RunFolder, config: RunConfig, header: Header, context: DistributedContext, precision: ResolvedPrecision
) -> str:
    """What is trained on what, and how, in a line."""
    model = config.model
    sizes = ", ".join(f"{name} {count:,}" for name, count in parameter_counts(model).items())
    kind = "classes" if config.data.class_names else "labels"
    labels = f" with {model.label_dim} {kind}" if model.label_dim else ""
    processes = f", {context.world_size} processes" if context.world_size > 1 else ""
    return (
        f"{config.preset} (parameters: {sizes}) on {header.num_images:,} images of "
        f"{size_text(model.image_size)}x{model.image_channels}{labels}, to {config.train.total_kimg:g} kimg; "
        f"{precision} on {context.device}{processes}. To watch: {folder.report_file}"
    )


def new_data_sentences(before: DataFacts, now: DataFacts) -> str:
    """What changes when a run continues with different images."""
    return (
        f"New data: {now.num_images:,} images of {now.store}, before {before.num_images:,} of {before.store}. "
        "Optimizers and augmentation continue; the order of the images starts again from the seed and the number of "
        "images shown. Metrics of earlier snapshots compare with the images before."
    )


def init_sentences(config: RunConfig, transfer: Transfer) -> str:
    """What became of the model that a run started from."""
    had, p = f" ({config.init_kimg:g} kimg)" if config.init_kimg else "", config.train.augment.p
    start = f" Augmentation starts at p = {p:g}." if p is not None else ""
    return f"Started from {config.init}{had}: {transfer.summary()}{start}"
