"""What some projects' files lack and a model needs: mean w and noise maps, made up in a fixed way and noted."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sgkit.checkpoint.assign import adopt
from sgkit.config import ModelConfig
from sgkit.model import Mapping, hashed_normal, synthesis_plan
from sgkit.model.plan import all_layers

AVERAGED = 4096
"""Latents that a mean w is estimated from."""


def add_mean_w(tensors: dict[str, Tensor], config: ModelConfig, notes: dict[str, object]) -> None:
    """Add the mean w over latents of fixed seed: what users of such files estimate before they truncate."""
    parts = {name.removeprefix("mapping."): t for name, t in tensors.items() if name.startswith("mapping.")}
    mapping = adopt(
        lambda: Mapping(
            config.mapping, z_dim=config.z_dim, label_dim=0, w_dim=config.w_dim, num_ws=1, tracks_average=False
        ),
        parts,
        what="the mapping network",
    )
    z = torch.from_numpy(np.random.RandomState(0).randn(AVERAGED, config.z_dim).astype(np.float32))
    with torch.no_grad():
        tensors["mapping.w_avg"] = mapping(z)[:, 0].mean(dim=0)
    notes["w_avg"] = f"the file holds no mean w; estimated from {AVERAGED} latents"


def add_noise_maps(tensors: dict[str, Tensor], config: ModelConfig, notes: dict[str, object]) -> None:
    """Add hashed noise maps of seed 0 where layers have none."""
    for spec in all_layers(synthesis_plan, config).values():
        name = f"synthesis.{spec.name}.noise_const"
        if spec.has_noise and name not in tensors:
            tensors[name] = hashed_normal(spec, (0,), size=spec.size)[0, 0]
            notes["noise_maps"] = "the file holds no noise maps; those of noise seed 0 are used"
