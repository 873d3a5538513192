"""Model files: sgkit's own, and a reader for those of every other project that executes nothing.

A file that is damaged, hostile or unsupported is a :class:`~sgkit.errors.CheckpointError` that names what does not fit.
"""

from sgkit.checkpoint.export import FORMS, Exported, export
from sgkit.checkpoint.loading import load, model_file
from sgkit.checkpoint.native import Header, read_header, save

__all__ = ["FORMS", "Exported", "Header", "export", "load", "model_file", "read_header", "save"]
