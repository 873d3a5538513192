"""Presets: one row for each row of the papers' tables, and small ones of the same kind for CPUs. Loads no torch."""

from sgkit.config.presets.rows import PRESETS, Preset, magnitude_ema_beta, preset

__all__ = ["PRESETS", "Preset", "magnitude_ema_beta", "preset"]
