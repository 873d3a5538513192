"""What a run says when it starts or continues: what is trained on what, and what it started from."""

from __future__ import annotations

from sgkit.runs.folder import DataFacts, RunConfig, RunFolder
from sgkit.runs.sizes import parameter_counts
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.store.header import Header, size_text
from sgkit.training.transfer import Transfer


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
