"""sgkit: one toolkit for the whole StyleGAN family.

The public names below are loaded on first use, so that ``import sgkit`` (and ``sgkit --help``) stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgkit.api import Model as Model
    from sgkit.api import load as load
    from sgkit.checkpoint import save as save
    from sgkit.checkpoint.deltas import save_delta as save_delta
    from sgkit.config.metrics import list_metrics as list_metrics
    from sgkit.config.presets import list_presets as list_presets
    from sgkit.errors import SgkitError as SgkitError
    from sgkit.inversion.encoder_file import load_encoder as load_encoder
    from sgkit.latents.directions import load_directions as load_directions
    from sgkit.latents.directions import save_directions as save_directions
    from sgkit.latents.files import load_latents as load_latents
    from sgkit.latents.spaces import Latents as Latents
    from sgkit.latents.spaces import save_latents as save_latents
    from sgkit.packaged import list_models as list_models
    from sgkit.render.images import Film as Film
    from sgkit.render.images import Images as Images
    from sgkit.render.images import save_image as save_image
    from sgkit.render.scene import Scene as Scene

__version__ = "0.1.0"

_LAZY = {
    "Film": "sgkit.render.images",
    "Images": "sgkit.render.images",
    "Latents": "sgkit.latents.spaces",
    "Model": "sgkit.api",
    "Scene": "sgkit.render.scene",
    "SgkitError": "sgkit.errors",
    "list_metrics": "sgkit.config.metrics",
    "list_models": "sgkit.packaged",
    "list_presets": "sgkit.config.presets",
    "load": "sgkit.api",
    "load_encoder": "sgkit.inversion.encoder_file",
    "load_directions": "sgkit.latents.directions",
    "load_latents": "sgkit.latents.files",
    "save": "sgkit.checkpoint",
    "save_delta": "sgkit.checkpoint.deltas",
    "save_directions": "sgkit.latents.directions",
    "save_image": "sgkit.render.images",
    "save_latents": "sgkit.latents.spaces",
}

__all__ = [
    *("Film", "Images", "Latents", "Model", "Scene", "SgkitError", "__version__"),
    *("list_metrics", "list_models", "list_presets", "load", "load_directions", "load_encoder", "load_latents"),
    *("save", "save_delta", "save_directions", "save_image", "save_latents"),
]
_OF_MODELS = {
    "generate",
    "mix",
    "interpolate",
    "project",
    "panorama",
    "expand",
    "blend",
    "shift",
    "edit",
    "render",
    "tune",
}
"""Methods of :class:`Model` that people look for here."""


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _OF_MODELS:
        raise AttributeError(f"module 'sgkit' has no attribute {name!r}; it is a method: sgkit.load(path).{name}(...)")
    raise AttributeError(f"module 'sgkit' has no attribute {name!r}")
