"""How large the networks of a run are, and whether this machine can hold them at all."""

from __future__ import annotations

import os
from contextlib import suppress

import torch

from sgkit.config import ModelConfig
from sgkit.errors import ConfigError
from sgkit.model import Discriminator, Generator

_BYTES = 4


def parameter_counts(model: ModelConfig) -> dict[str, int]:
    """Parameters of generator and discriminator; nothing is allocated for it."""
    with torch.device("meta"):
        networks = {"generator": Generator(model), "discriminator": Discriminator(model)}
    return {name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()}


def check_memory(model: ModelConfig, device: torch.device) -> None:
    """Refuse networks that the device cannot hold, before they are built. What images need comes on top.

    Raises:
        ConfigError: says how much they need, and how much there is.
    """
    counts, there = parameter_counts(model), _memory(device)
    # Weights, gradients and two moments each, and the averaged generator.
    needed = (5 * counts["generator"] + 4 * counts["discriminator"]) * _BYTES
    if there is not None and needed > there:
        raise ConfigError(
            f"These networks have {sum(counts.values()) / 1e9:.1f} billion parameters. To train them takes "
            f"{needed / 2**30:,.0f} GiB for weights, gradients and optimizers; {device} has {there / 2**30:,.0f}. Use "
            "a smaller preset, or smaller channel_base and channel_max of model.synthesis and model.discriminator."
        )


def _memory(device: torch.device) -> int | None:
    """Bytes of memory; ``None`` where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    with suppress(AttributeError, ValueError, OSError):  # Windows
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
