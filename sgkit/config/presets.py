"""Presets: one row for each row of the papers' tables, and small ones for CPUs. The rows are in ``presets.toml``."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from importlib import resources
from typing import Any, Literal

from sgkit.config.base import Config
from sgkit.config.model import ModelConfig
from sgkit.config.train import TrainConfig
from sgkit.errors import ConfigError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Preset(Config):
    """A model and the recipe that trains it."""

    name: str
    summary: str
    model: ModelConfig
    train: TrainConfig
    fit: Literal["fixed", "ada", "stylegan3"] = "fixed"
    """The rule for what depends on the image size, the batch and the number of processes."""


def preset(
    name: str,
    *,
    image_size: tuple[int, int] | None = None,
    image_channels: int = 3,
    label_dim: int = 0,
    num_processes: int = 1,
    batch: int | None = None,
) -> Preset:
    """Return the preset called ``name``, fitted to images of ``image_size`` (height, width).

    ``num_processes`` that train together set the batch, and what depends on it, where the recipe has it so
    (``ada-auto``). ``batch`` replaces the preset's; constants that NVIDIA's code derives from ``--batch`` follow it
    (``stylegan3-t``, ``stylegan3-r``), all others stay.

    Raises:
        ConfigError: the preset is unknown (the nearest is named), or no network fits the image size.
    """
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset {name!r}. {did_you_mean(name, PRESETS)}")
    row = PRESETS[name]
    model = replace(
        row.model,
        image_size=image_size or row.model.image_size,
        base_size=None,
        image_channels=image_channels,
        label_dim=label_dim,
        w_dim=_w_dim(row.model, label_dim),
    )
    return _fitted(replace(row, model=model), num_processes, batch)


def magnitude_ema_beta(batch: int) -> float:
    """Decay of StyleGAN3's running input magnitudes in a step of ``batch`` images: a half-life of 20 kimg."""
    return math.pow(0.5, batch / 20e3)


def _w_dim(model: ModelConfig, label_dim: int) -> int:
    if model.mapping.num_layers == 0 and model.mapping.label_mode == "direct":
        return model.z_dim + label_dim  # without a mapping network w is z and the label side by side
    return model.w_dim


def _fitted(row: Preset, num_processes: int = 1, batch: int | None = None) -> Preset:
    if row.fit == "ada":
        row = _fit_ada(row, num_processes)
    elif row.fit == "stylegan3":
        row = _fit_stylegan3(row, batch or row.train.batch)
    return row if batch is None else replace(row, train=replace(row.train, batch=batch))


def _fit_ada(row: Preset, num_processes: int) -> Preset:
    """ADA's rules for what is best unknown: batch by memory, R1 by pixels over batch, average by batch."""
    resolution, model = row.model.resolution, row.model
    batch = max(min(num_processes * min(4096 // resolution, 32), 64), num_processes)
    base = 32768 if resolution >= 512 else 16384
    lr = 0.002 if resolution >= 1024 else 0.0025
    gamma = 0.0002 * resolution**2 / batch
    train = replace(row.train, batch=batch, g_lr=lr, d_lr=lr, r1_gamma=gamma, ema_kimg=batch * 10 / 32, ema_rampup=0.05)
    discriminator = replace(model.discriminator, channel_base=base, mbstd_group_size=min(batch // num_processes, 4))
    model = replace(model, synthesis=replace(model.synthesis, channel_base=base), discriminator=discriminator)
    return replace(row, model=model, train=train)


def _fit_stylegan3(row: Preset, batch: int) -> Preset:
    """StyleGAN3's R1: four times as strong for each doubling of the resolution, 32 at 1024; averages by batch."""
    synthesis = row.model.synthesis
    assert synthesis.alias_free is not None
    gamma = 32.0 * (row.model.resolution / 1024) ** 2
    train = replace(row.train, r1_gamma=gamma, ema_kimg=batch * 10 / 32, d_blur_kimg=batch * 200 / 32)
    alias_free = replace(synthesis.alias_free, magnitude_ema_beta=magnitude_ema_beta(batch))
    return replace(row, train=train, model=replace(row.model, synthesis=replace(synthesis, alias_free=alias_free)))


def _read_presets() -> dict[str, Preset]:
    text = resources.files("sgkit.config").joinpath("presets.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)
    rows |= {f"base.{name}": row for name, row in rows.pop("base").items()}

    def whole(row: dict[str, Any]) -> dict[str, Any]:
        own = {key: value for key, value in row.items() if key != "from"}
        return _merged(whole(rows[row["from"]]), own) if "from" in row else own

    presets = {name: whole(row) for name, row in rows.items() if not name.startswith("base.")}
    return {name: _fitted(Preset.from_dict({"name": name, **values})) for name, values in presets.items()}


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = values.keys() & changes.keys()
    tables = {key: _merged(values[key], changes[key]) for key in both if isinstance(changes[key], dict)}
    return values | changes | tables


PRESETS: dict[str, Preset] = _read_presets()
"""Every preset by name."""


def list_presets() -> list[Preset]:
    """Every preset: name, summary, configuration of the networks and of training."""
    return list(PRESETS.values())
