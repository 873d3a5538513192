"""Painted landscapes: a sample dataset of any length that needs no download."""

from sgkit.store.landscapes.sample import landscape

__all__ = ["landscape"]
