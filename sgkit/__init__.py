"""sgkit: one toolkit for the whole StyleGAN family.

The public names below are loaded on first use, so that ``import sgkit`` (and ``sgkit --help``) stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgkit.api import Images as Images
    from sgkit.api import Model as Model
    from sgkit.api import load as load
    from sgkit.checkpoint import save as save
    from sgkit.latents.directions import load_directions as load_directions
    from sgkit.latents.directions import save_directions as save_directions
    from sgkit.latents.spaces import save_latents as save_latents
    from sgkit.packaged import list_models as list_models
    from sgkit.render.pictures import save_image as save_image
    from sgkit.render.scene import Scene as Scene

__version__ = "0.1.0"

_LAZY = {
    "Images": "sgkit.api",
    "Model": "sgkit.api",
    "Scene": "sgkit.render.scene",
    "list_models": "sgkit.packaged",
    "load": "sgkit.api",
    "save": "sgkit.checkpoint",
    "load_directions": "sgkit.latents.directions",
    "save_directions": "sgkit.latents.directions",
    "save_image": "sgkit.render.pictures",
    "save_latents": "sgkit.latents.spaces",
}

__all__ = [
    *("Images", "Model", "Scene", "__version__", "list_models", "load", "load_directions"),
    *("save", "save_directions", "save_image", "save_latents"),
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sgkit' has no attribute {name!r}")
