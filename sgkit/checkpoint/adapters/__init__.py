"""Adapters: what turns a neutral description of a foreign checkpoint into a model, one module per project."""

from sgkit.checkpoint.adapters.registry import model_from, model_of

__all__ = ["model_from", "model_of"]
