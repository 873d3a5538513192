"""Images on disk and batches in memory: sources, the LMDB store, and the datasets that read it. Knows no model.

The public names are loaded on first use: worker processes of ``prepare`` then do without torch. Inside, whatever cannot
be used raises one of :mod:`sgkit.errors` with a message for the user; only errors that callers handle are documented.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgkit.store.dataset import ImageFiles, Images, StoreDataset, at_size, open_images
    from sgkit.store.header import Header, LabelSchema, read_header
    from sgkit.store.landscapes.sample import landscape
    from sgkit.store.loading import Batch, batches, iterate
    from sgkit.store.records import StoreReader

__all__ = [
    "Batch",
    "Header",
    "ImageFiles",
    "Images",
    "LabelSchema",
    "StoreDataset",
    "StoreReader",
    "at_size",
    "batches",
    "iterate",
    "landscape",
    "open_images",
    "read_header",
]
_MODULES = {
    "loading": ("Batch", "batches", "iterate"),
    "dataset": ("ImageFiles", "Images", "StoreDataset", "at_size", "open_images"),
    "header": ("Header", "LabelSchema", "read_header"),
    "landscapes.sample": ("landscape",),
    "records": ("StoreReader",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"sgkit.store.{module}"), name)
    raise AttributeError(f"module 'sgkit.store' has no attribute {name!r}")
