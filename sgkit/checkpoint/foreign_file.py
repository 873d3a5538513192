"""What a foreign checkpoint holds, in neutral terms: networks with their options and tensors, and everything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ForeignNetwork:
    """One network of a foreign file."""

    name: str
    """Its name in the file: ``G_ema``, ``Gs``, ``g_ema``, ``D`` ..."""
    builder: str
    """The class or function that built it, as the file says; empty when the file does not say."""
    options: dict[str, Any]
    """The arguments it was built with; defaults are left out by most projects."""
    tensors: dict[str, Array]
    """Parameters and buffers by full name; views of the file."""
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Plain attributes of modules (numbers, texts) by module path; ``""`` is the network itself."""
    source: str = ""
    """Python text that the file would have run to build it; never run here."""


@dataclass(frozen=True)
class ForeignFile:
    """What a foreign checkpoint holds."""

    kind: str
    """``stylegan2-ada-pytorch``, ``stylegan3``, ``stylegan2-tf``, ``stylegan-tf``, ``progan-tf``,
    ``rosinality-stylegan2``, ``rosinality-stylegan1`` or ``lucidrains-stylegan2``."""
    networks: dict[str, ForeignNetwork]
    extras: dict[str, Any]
    """Everything else worth keeping: training arguments, augmentation state, counters, small arrays."""
    file_name: str = ""
    """Some projects record only there how long a network was trained."""
    notes: dict[str, Any] = field(default_factory=dict)
    """For the provenance: where the networks were found, and what was ignored."""
    project: str = ""
    """The project whose tensor names the file has, where it is not the kind's own."""
