"""Images on disk and batches in memory: sources, the LMDB store, and the datasets that read it. Knows no model.

The public names are loaded on first use: worker processes of ``prepare`` then do without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgkit.store.dataset import Batch as Batch
    from sgkit.store.dataset import ImageFiles as ImageFiles
    from sgkit.store.dataset import Images as Images
    from sgkit.store.dataset import StoreDataset as StoreDataset
    from sgkit.store.dataset import at_size as at_size
    from sgkit.store.dataset import batches as batches
    from sgkit.store.dataset import iterate as iterate
    from sgkit.store.dataset import open_images as open_images
    from sgkit.store.header import Header as Header
    from sgkit.store.header import LabelSchema as LabelSchema
    from sgkit.store.header import read_header as read_header
    from sgkit.store.landscapes.sample import landscape as landscape
    from sgkit.store.records import StoreReader as StoreReader

_LAZY = {
    **dict.fromkeys(
        ("Batch", "ImageFiles", "Images", "StoreDataset", "at_size", "batches", "iterate", "open_images"),
        "sgkit.store.dataset",
    ),
    **dict.fromkeys(("Header", "LabelSchema", "read_header"), "sgkit.store.header"),
    "StoreReader": "sgkit.store.records",
    "landscape": "sgkit.store.landscapes.sample",
}

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


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sgkit.store' has no attribute {name!r}")
