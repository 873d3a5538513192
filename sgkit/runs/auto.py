"""The preset ``auto``: networks and recipe of a new run, chosen by its images and the machine, and said in five lines.

What is chosen is written to ``config.toml`` as plain values, so a run resumes in the same way on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from sgkit.config import ModelConfig, TrainConfig, override
from sgkit.config.presets import preset
from sgkit.config.sizes import BASE_RESOLUTION
from sgkit.store.header import LabelSchema, size_text
from sgkit.training.batches import mixes_batch

AUTO = "auto"
INIT_PRESET = "ada-auto"
"""Recipe of a run that starts from a model."""
FEW = 20_000
"""Images below which a discriminator memorizes them."""
SMALL, MEDIUM = 32, 64
"""Pixels up to which the presets for CPUs are meant."""
FEW_THREADS = 4
"""Threads up to which a CPU trains the smaller networks."""
CPU_BATCH = 16
LOWEST_R1 = 0.1
"""Of networks as small as a CPU trains. At 32 px and this batch ADA's rule gives 0.013; 0.01 had not
learned faces after 20 kimg, in the one seed that was tried (docs/results.md)."""
BYTES_PER_ACTIVATION = 12 * 4
"""Memory of a training step for each number that a layer puts out, in fp32: 9 to 11 copies were measured at 32 and 64
pixels (Intel Xeon, family 6, model 207, one thread)."""
USED_MEMORY = 0.6
"""Fraction of the memory that images may take."""
CPU_ADA_KIMG = 100.0
"""ADA's time scale for short runs: its own 500 kimg may be longer than the whole run."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """What is known of the images before training."""

    count: int
    size: tuple[int, int]
    """Height and width."""
    channels: int = 3
    labels: LabelSchema = field(default_factory=LabelSchema)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the choice depends on."""

    device: str = "cpu"
    """``cpu``, ``cuda`` or ``mps``."""
    threads: int = 1
    """Of a CPU."""
    num_processes: int = 1
    memory_gib: float | None = None
    """For one process; ``None``: not known."""

    @property
    def words(self) -> str:
        """For example ``a CPU with 2 threads``."""
        if self.device == "cpu":
            return f"a CPU with {self.threads} thread{'s' * (self.threads != 1)}"
        several = f"{self.num_processes} processes, each on " if self.num_processes > 1 else ""
        return f"{several}a GPU ({self.device})"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What ``auto`` chose."""

    preset: str
    changes: dict[str, Any]
    """Dotted keys over the preset."""
    lines: tuple[str, ...]
    """What was chosen, and why: ``name: words`` each."""


def choose(images: Images, machine: Machine, *, given: Mapping[str, Any], init: ModelConfig | None = None) -> Choice:
    """The networks and the recipe for ``images`` on ``machine``.

    Args:
        given: the keys that the user sets; they are left out of the changes, and the rest follows them.
        init: the networks that the run starts from; they are kept.
    """
    name, changes, networks = _networks(images, machine, init=init, is_free=not any("model." in key for key in given))
    count, batch_line = _batch(images, machine, name, given)
    lines = [networks, batch_line]
    if machine.device == "cpu":
        changes |= {"train.batch": count, "train.ema_kimg": count * 10 / 32}
        changes |= {"train.snapshot_kimg": 10.0} if init is not None else {}
    gamma, why = _r1(images, machine, count)
    changes["train.r1_gamma"] = gamma
    lines.append(f"R1: r1_gamma {gamma:g}, {why}")
    augment, augment_line = _augment(images, machine)
    changes |= augment
    mirrored, mirror_line = _mirror(images)
    changes["train.mirror"] = mirrored
    lines += [augment_line, mirror_line]
    if given.get("train.augment.kind", "ada") != "ada":
        changes.pop("train.augment.kimg", None)
    own = {"R1": "train.r1_gamma", "augmentation": "train.augment.kind", "mirror": "train.mirror"}
    kept = [line for line in lines if own.get(line.partition(":")[0]) not in given]
    return Choice(
        preset=name, changes={key: value for key, value in changes.items() if key not in given}, lines=tuple(kept)
    )


def this_machine(device: torch.device, *, num_processes: int, memory_bytes: int | None = None) -> Machine:
    """The machine that this process runs on."""
    return Machine(
        device=device.type,
        threads=torch.get_num_threads(),
        num_processes=num_processes,
        memory_gib=None if memory_bytes is None else memory_bytes / 2**30,
    )


def _networks(
    images: Images, machine: Machine, *, init: ModelConfig | None, is_free: bool
) -> tuple[str, dict[str, Any], str]:
    """The preset, changes to it, and the line on it."""
    side = max(images.size)
    if init is not None:
        fitted = "" if init.image_size == images.size else f", fitted to {size_text(images.size)}"
        text = f"networks: those of the model of --init{fitted}; the recipe is {INIT_PRESET}"
        if machine.device == "cpu" and machine.threads <= FEW_THREADS:
            return INIT_PRESET, {"train.pl_weight": 0.0}, f"{text} without path lengths, which would take longer"
        return INIT_PRESET, {}, text
    if machine.device != "cpu":
        return "ada-auto", {}, "networks: ada-auto, whose numbers follow from the size and the number of GPUs"
    few = machine.threads <= FEW_THREADS
    if side <= SMALL:
        name = "stylegan2-mini" if few else "stylegan2-32"
        return name, {}, f"networks: {name}, for images up to {SMALL} pixels on {machine.words}"
    changes: dict[str, Any] = {}
    halved = ""
    if few and is_free:
        parts = {"channel_base": 1024, "channel_max": 64}
        changes = {f"model.{part}.{k}": v for part in ("synthesis", "discriminator") for k, v in parts.items()}
        changes["train.pl_weight"] = 0.0
        halved = " with half the channels and no path lengths"
    slow = f"; above {MEDIUM} pixels a CPU takes long, so smaller images are a better start" if side > MEDIUM else ""
    return "stylegan2-64", changes, f"networks: stylegan2-64{halved}, for {machine.words}{slow}"


def _batch(images: Images, machine: Machine, name: str, given: Mapping[str, Any]) -> tuple[int, str]:
    """Images per step, and the line on them."""
    if "train.batch" in given:
        count = override(TrainConfig(), {"batch": given["train.batch"]}).batch
        return count, f"batch: {count} images per step, as asked for"
    if machine.device == "cpu":
        unit = 4 * machine.num_processes
        count = max(CPU_BATCH // unit, 1) * unit
        return count, f"batch: {count} images per step, since more and smaller steps learn faster on a CPU"
    count = preset(name, image_size=images.size, num_processes=machine.num_processes).train.batch
    return count, f"batch: {count} images per step, by ADA's rule for the memory of GPUs"


def _r1(images: Images, machine: Machine, batch: int) -> tuple[float, str]:
    """The weight of R1, and why."""
    side = max(images.size)
    gamma = float(f"{0.0002 * side**2 / batch:.3g}")
    rule = f"ADA's rule 0.0002 x {side}\N{SUPERSCRIPT TWO} / {batch}"
    if machine.device == "cpu" and gamma < LOWEST_R1:
        return LOWEST_R1, f"because {rule} = {gamma:g} is too weak for networks this small"
    return gamma, f"by {rule}"


def _augment(images: Images, machine: Machine) -> tuple[dict[str, Any], str]:
    if images.count >= FEW:
        text = f"augmentation: none, since {images.count:,} images are enough (from {FEW:,} on); --augment ada adds it"
        return {"train.augment.kind": "none"}, text
    text = (
        f"augmentation: ada, since D could memorize {images.count:,} images (below {FEW:,}); it acts only if D does; "
        "--augment none turns it off"
    )
    speed = {"train.augment.kimg": CPU_ADA_KIMG} if machine.device == "cpu" else {}
    return {"train.augment.kind": "ada", **speed}, text


def _mirror(images: Images) -> tuple[bool, str]:
    labels = images.labels
    sides = {"left", "right"} & {word for name in labels.names for word in name.lower().replace("_", "-").split("-")}
    if images.count >= FEW:
        why = f"{images.count:,} images are enough"
    elif sides:
        why = f"the classes tell {' and '.join(sorted(sides))} apart"
    elif labels.kind in ("float", "multi"):
        why = "the labels may depend on the side"
    else:
        return True, (
            f"mirror: on, which doubles {images.count:,} images; if left and right are not alike (text, clocks, maps), "
            "turn it off with --no-mirror"
        )
    return False, f"mirror: off, since {why}; --mirror turns it on"


def micro_batch(model: ModelConfig, batch: int, machine: Machine) -> tuple[int, str] | None:
    """Images to hold at once so that a step fits in memory, and the line on it; ``None``: the whole batch.

    The estimate is rough: ``--memory`` measures instead.
    """
    share = batch // machine.num_processes
    group = model.discriminator.mbstd_group_size or share
    per_image = _activations(model) * BYTES_PER_ACTIVATION / 2**30
    room = (machine.memory_gib or math.inf) * USED_MEMORY
    if per_image * share <= room or mixes_batch(model):
        return None
    fitting = [count for count in range(group, share, group) if share % count == 0 and per_image * count <= room]
    held = fitting[-1] if fitting else min(group, share)
    return held, f"memory: {held} images at once, since {share} need about {per_image * share:.0f} GiB; --memory SIZE"


def _activations(model: ModelConfig) -> int:
    """Numbers in the outputs of one layer at each resolution, of both networks."""
    base = math.prod(model.base)
    total, level = 0, 0
    while BASE_RESOLUTION << level <= model.resolution:
        resolution = BASE_RESOLUTION << level
        channels = sum(
            min(part.channel_base // resolution, part.channel_max) for part in (model.synthesis, model.discriminator)
        )
        total, level = total + base * 4**level * channels, level + 1
    return total
