"""``sgkit models``."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sgkit.cli import report
from sgkit.cli.options import JsonOption
from sgkit.packaged import PackagedModel, list_models


@dataclass(frozen=True, kw_only=True)
class ModelRow(PackagedModel):
    """A packaged model, with the size of its file."""

    bytes: int


def models(json: JsonOption = False) -> None:
    """List the trained models that come with the package.

    Their names can be given wherever a command takes a MODEL.
    """
    found = [ModelRow(**asdict(model), bytes=model.path.stat().st_size) for model in list_models()]
    report.emit(found, json=json, show=_show)


def _show(found: list[ModelRow]) -> None:
    for model in found:
        height, width = model.image_size
        report.facts(
            {
                "shows": model.shows,
                "images": f"{width}x{height}",
                "classes": ", ".join(model.classes) or "none",
                "size": f"{model.bytes / 1e6:.1f} MB",
                "licence": model.licence,
                "model card": model.card,
            },
            title=model.name,
        )
    report.out("")
    report.note(f"Use a name as MODEL: sgkit generate {found[0].name} --seeds 0-15 --grid 8x2 --out grid.png")
