"""Model files: sgkit's own, and a reader for those of every other project that executes nothing."""

from sgkit.checkpoint.export import FORMS, Exported, export
from sgkit.checkpoint.loading import load, model_file
from sgkit.checkpoint.native import Header, read_header, save

__all__ = ["FORMS", "Exported", "Header", "export", "load", "model_file", "read_header", "save"]
