"""What some projects' files lack and a model needs: mean w and noise maps, filled in reproducibly and noted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgkit.checkpoint.assemble import build_around
from sgkit.checkpoint.foreign_file import Array
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError
from sgkit.model import Canvas, Mapping, hashed_normal, synthesis_plan
from sgkit.model.plan import all_layers

AVERAGED = 4096
"""Latents that a mean w is estimated from."""
MEAN_W = "mapping.w_avg"


def add_missing(tensors: dict[str, Tensor], config: ModelConfig, mean: Array | None, notes: dict[str, Any]) -> None:
    """Add noise maps of noise seed 0 and the mean w to the tensors of a generator, where it lacks them.

    Args:
        tensors: by sgkit's names; changed.
        config: of the model.
        mean: the mean w that the file holds outside the network.
        notes: extended by what was added.
    """
    for spec in all_layers(synthesis_plan, config).values():
        name = f"synthesis.{spec.name}.noise_const"
        if spec.has_noise and name not in tensors:
            tensors[name] = hashed_normal(spec, (0,), Canvas.of_size(spec.size))[0, 0]
            notes["noise_maps"] = "the file holds no noise maps; those of noise seed 0 are used"
    if MEAN_W in tensors:
        return
    if config.mapping.num_layers == 0:
        tensors[MEAN_W] = torch.zeros(config.w_dim)
        return
    vector = None if mean is None else _given_mean(mean, config.w_dim, notes)
    if vector is None and config.label_dim > 0:
        raise CheckpointError("The file holds no mean w, which a conditional generator needs.")
    tensors[MEAN_W] = _estimated_mean(tensors, config, notes) if vector is None else vector


def _given_mean(mean: Array, w_dim: int, notes: dict[str, Any]) -> Tensor | None:
    """The mean w [w_dim]: encoders such as pSp repeat it for every layer; ``None`` where it does not fit."""
    ignored = f"latent_avg of shape {list(mean.shape)}: "
    if mean.dtype.kind != "f" or mean.size == 0 or mean.size % w_dim or mean.shape[-1] != w_dim:
        notes.setdefault("ignored", []).append(f"{ignored}the model's w has {w_dim} numbers")
        return None
    rows = np.array(mean, np.float32).reshape(-1, w_dim)
    if (rows != rows[:1]).any():
        notes.setdefault("ignored", []).append(f"{ignored}it differs from layer to layer")
        return None
    return torch.from_numpy(rows[0].copy())


def _estimated_mean(tensors: dict[str, Tensor], config: ModelConfig, notes: dict[str, Any]) -> Tensor:
    """The mean w over latents of a fixed seed: what users of such files estimate before they truncate."""
    mapping = build_around(
        lambda: Mapping(
            config.mapping, z_dim=config.z_dim, label_dim=0, w_dim=config.w_dim, num_ws=1, tracks_average=False
        ),
        {name.removeprefix("mapping."): t for name, t in tensors.items() if name.startswith("mapping.")},
        what="the mapping network",
    )
    z = torch.from_numpy(np.random.RandomState(0).randn(AVERAGED, config.z_dim).astype(np.float32))
    notes["w_avg"] = f"the file holds no mean w; estimated from {AVERAGED} latents"
    with torch.no_grad():
        w: Tensor = mapping(z)[:, 0]
        return w.mean(dim=0)
