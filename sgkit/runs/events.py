"""Events of a run and their sentences: what is trained on what, what it starts from, what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
CHOICES, COLUMNS, EXPECT = "choices", "columns", "expect"
"""What ``auto`` chose, what the columns of the progress line mean (both shown, not logged), and what to expect. The
lines are in the facts of the event."""
SLOW, HELD_OUT = "slow", "held-out images missing"
"""Training is far slower than at the start; images that D should score cannot be read."""
DAMAGED, SKIPPED, ROLLBACK = "damaged snapshot", "skipped update", "rollback"
COMPUTING = "computing"
"""How steps are computed on a GPU, where that is not the fastest way."""
STALLED = "no improvement"
"""The metric that ranks snapshots has not improved for as long as ``metrics.patience_kimg``, so training ends."""

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


def choices_event(config: RunConfig, machine: str, images: int) -> Event:
    """What ``auto`` chose, and why."""
    data = f"{config.data.num_images:,} images of {size_text(config.model.image_size)}"
    lines = dict(line.split(": ", 1) for line in config.choices)
    return Event(name=CHOICES, images=images, text=f"Chosen for {data} on {machine}:", facts=lines)


MEANINGS = {
    "kimg": "thousands of images shown so far, of how many",
    "s/kimg": "seconds for a thousand images; the time left follows from it",
    "loss G, loss D": "losses of generator and discriminator; steady is good, low is not better",
    "sign real, sign fake": "how surely D tells real from generated images: 0 guesses, +1 and -1 are never wrong (too "
    "strong)",
    "augment p": "how much D's images are augmented; rises when D memorizes the data",
    "lod": "doublings of the size that are still to come",
    "lr": "learning rate",
    "memory": "most memory used so far",
}
"""Column of the progress line -> what it says."""


def columns_event(fields: Mapping[str, str], images: int) -> Event:
    """What the columns of a progress line with ``fields`` mean."""
    known = {"kimg", "s/kimg", *fields}
    shown = {names: text for names, text in MEANINGS.items() if known & set(names.split(", "))}
    return Event(name=COLUMNS, images=images, text="The progress line shows:", facts=shown)


def slow_sentences(times: float, now: float, start: float) -> str:
    """Training has slowed down, and what to do."""
    return (
        f"Training is {times:.1f} times slower than at the start: {now:.3g} instead of {start:.3g} seconds for a "
        "thousand images. Other programs may be using the processor, or memory may have run out: close them, lower "
        "the memory of this run with --memory, or train with fewer threads (OMP_NUM_THREADS)."
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
