"""Models that come with the package: ``landscapes`` may be given wherever a model is asked for.

Nothing heavy is imported, so that a name is resolved before torch is loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A model that comes with the package."""

    name: str
    shows: str
    """What its images show."""
    image_size: tuple[int, int]
    """Height and width in pixels."""
    classes: tuple[str, ...]
    """Names of its classes, by number; empty: the model is unconditional."""
    licence: str
    card: str
    """Its model card in the documentation: data, training, metrics, limits."""

    @property
    def path(self) -> Path:
        """Its file."""
        return ASSETS / f"{self.name}.safetensors"


_SEASONS, _HOURS = ("spring", "summer", "autumn", "winter"), ("dawn", "day", "dusk", "night")

MODELS: dict[str, PackagedModel] = {
    "landscapes": PackagedModel(
        name="landscapes",
        shows="painted landscapes: lakes, hills, trees and skies by season and hour",
        image_size=(128, 128),
        classes=tuple(f"{season}-{hour}" for season in _SEASONS for hour in _HOURS),
        licence="MIT",
        card="docs/models/landscapes.md",
    )
}
"""Every packaged model by its name."""


def list_models() -> list[PackagedModel]:
    """The models that come with the package; each one's name may be given to :func:`sgkit.load` and every command."""
    return list(MODELS.values())


def packaged_path(path: str | Path) -> Path:
    """The file of the packaged model called ``path``, unless something of that name exists; else ``path``."""
    found = MODELS.get(str(path))
    return Path(path) if found is None or os.path.lexists(path) else found.path
