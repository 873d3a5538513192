"""sgkit: one toolkit for the whole StyleGAN family.

The public names below are loaded on first use, so that ``import sgkit`` (and ``sgkit --help``) stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgkit.checkpoint import load as load
    from sgkit.checkpoint import save as save
    from sgkit.model import Model as Model
    from sgkit.render.pictures import save_image as save_image

__version__ = "0.1.0"

_LAZY = {
    "load": "sgkit.checkpoint",
    "save": "sgkit.checkpoint",
    "save_image": "sgkit.render.pictures",
    "Model": "sgkit.model",
}

__all__ = ["Model", "__version__", "load", "save", "save_image"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sgkit' has no attribute {name!r}")
