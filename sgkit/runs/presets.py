"""Which preset to choose: all of them in numbers, what this machine can hold, and a recommendation."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

import torch

from sgkit.config import ModelConfig, TrainConfig
from sgkit.config.presets import PRESETS, preset
from sgkit.errors import ConfigError
from sgkit.model import Discriminator, Generator
from sgkit.training.schedules import stages

BYTES = 4
"""Of a number in float32."""


@dataclass(frozen=True, kw_only=True)
class PresetRow:
    """A preset in numbers."""

    name: str
    summary: str
    size: str
    """``WxH`` that the numbers are for."""
    generator: int
    """Parameters."""
    discriminator: int
    batch: int
    lr: float
    r1_gamma: float
    pl_weight: float
    mixing: float
    loss: str
    kimg: float


def preset_rows(image_size: tuple[int, int] | None = None) -> list[PresetRow]:
    """Every preset, fitted to images of ``image_size`` (height, width); ``None``: each as it is made for.

    Raises:
        ConfigError: no network fits the size.
    """
    rows = []
    for name in PRESETS:
        row = preset(name, image_size=image_size)
        counts, train = parameter_counts(row.model), row.train
        height, width = row.model.image_size
        rows.append(
            PresetRow(
                name=name,
                summary=row.summary,
                size=f"{width}x{height}",
                generator=counts["generator"],
                discriminator=counts["discriminator"],
                batch=full_size_batch(row.model, train),
                lr=train.g_lr,
                r1_gamma=train.r1_gamma,
                pl_weight=train.pl_weight,
                mixing=train.style_mixing_prob,
                loss=train.loss,
                kimg=train.total_kimg,
            )
        )
    return rows


def full_size_batch(model: ModelConfig, train: TrainConfig) -> int:
    """Images per step at full size: what costs most where networks grow and the batch shrinks as they do."""
    return stages(model, train)[-1].batch


def parameter_counts(model: ModelConfig) -> dict[str, int]:
    """Parameters of generator and discriminator; nothing is allocated for it."""
    with torch.device("meta"):
        networks = {"generator": Generator(model), "discriminator": Discriminator(model)}
    return {name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()}


def check_memory(model: ModelConfig, device: torch.device) -> None:
    """Refuse networks that the device cannot hold, before they are built. Images need memory in addition.

    Raises:
        ConfigError: says how much they need, and how much there is.
    """
    counts, there = parameter_counts(model), memory_bytes(device)
    # Weights, gradients and two moments each, and the averaged generator.
    needed = (5 * counts["generator"] + 4 * counts["discriminator"]) * BYTES
    if there is not None and needed > there:
        raise ConfigError(
            f"These networks have {sum(counts.values()) / 1e9:.1f} billion parameters. Training them needs "
            f"{needed / 2**30:,.0f} GiB for weights, gradients and optimizers; {device} has {there / 2**30:,.0f}. Use "
            "a smaller preset, or smaller channel_base and channel_max of model.synthesis and model.discriminator."
        )


def memory_bytes(device: torch.device) -> int | None:
    """Memory of ``device`` in bytes; ``None`` where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    with suppress(AttributeError, ValueError, OSError):  # Windows
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
