"""``sgkit schema``: JSON schemas of configurations, and of what commands report with ``--json``."""

from __future__ import annotations

import functools
import importlib
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from sgkit.cli import report
from sgkit.cli.options import JsonOption
from sgkit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue


class Row(NamedTuple):
    """One schema of the table."""

    what: str
    types: tuple[str, ...]
    """``module:Type``; where there are several, the value is one of them."""
    holder: Any = None
    """``list`` or ``dict`` where the value holds several of these."""


CONFIGURATIONS = {
    "run": Row("config.toml of a run: the keys of sgkit train --config and --set", ("sgkit.runs.folder:RunConfig",)),
    "train": Row("its table [train]: the recipe", ("sgkit.config.train:TrainConfig",)),
    "model": Row("its table [model]: the networks; also in model files", ("sgkit.config.model:ModelConfig",)),
    "prepare": Row("options of sgkit prepare", ("sgkit.store.preparing.plan:PrepareOptions",)),
    "scene": Row("an image as data: what images carry and sgkit replay reads", ("sgkit.render.scene:Scene",)),
    "sheet": Row("a grid or an animation of scenes", ("sgkit.render.scene:Sheet",)),
    "store": Row("header.json of a store", ("sgkit.store.header:Header",)),
}
RESULTS = {
    "prepare": Row("a store", ("sgkit.tasks.prepare:PrepareResult",)),
    "prepare-split": Row("sgkit prepare --split: a store for each name", ("sgkit.tasks.prepare:PrepareResult",), dict),
    "data-info": Row("sgkit data info", ("sgkit.tasks.data:StoreInfo",)),
    "data-verify": Row("sgkit data verify", ("sgkit.tasks.data:VerifyResult",)),
    "data-export": Row("sgkit data export", ("sgkit.tasks.data:ExportResult",)),
    "data-merge": Row("sgkit data merge", ("sgkit.store.header:Header",)),
    "data-diff": Row("sgkit data diff", ("sgkit.tasks.data:Diff",)),
    "train": Row("a finished or stopped run", ("sgkit.runs.run:TrainResult",)),
    "train-dry-run": Row("sgkit train --dry-run", ("sgkit.runs.estimate:TrainPlan",)),
    "train-list-presets": Row("sgkit train --list-presets", ("sgkit.runs.presets:PresetRow",), list),
    "generate": Row("images written", ("sgkit.render.generate:GenerateResult",)),
    "mix": Row("a table of mixtures", ("sgkit.render.mix:MixResult",)),
    "interpolate": Row("an animation", ("sgkit.render.interpolate:InterpolateResult",)),
    "project": Row("latents found", ("sgkit.inversion.results:ProjectResult",)),
    "encoder-train": Row("an encoder trained", ("sgkit.inversion.encoder_task:EncoderResult",)),
    "tune": Row("a model tuned", ("sgkit.inversion.tune_task:TuneResult",)),
    "directions-find": Row("directions found", ("sgkit.tasks.directions:DirectionList",)),
    "directions-list": Row("sgkit directions list", ("sgkit.tasks.directions:DirectionList",)),
    "directions-apply": Row("latents moved", ("sgkit.render.edit:ApplyResult",)),
    "drag": Row("points dragged", ("sgkit.inversion.drag_task:DragResult",)),
    "edit": Row("images edited", ("sgkit.render.edit:EditResult",)),
    "panorama": Row("a panorama", ("sgkit.render.panorama:PanoramaResult",)),
    "expand": Row("images made larger", ("sgkit.render.outputs:ImagesResult",)),
    "blend": Row("an image blended from several", ("sgkit.render.blend:BlendResult",)),
    "shift": Row("images with parts moved", ("sgkit.render.outputs:ImagesResult",)),
    "transfer": Row("attributes transferred", ("sgkit.render.transfer:TransferResult",)),
    "translate": Row("images translated", ("sgkit.render.translate:TranslateResult",)),
    "replay": Row("an image or animation made again", ("sgkit.render.replay:ReplayResult",)),
    "classifier-train": Row("a classifier trained", ("sgkit.measure.classifying:ClassifierResult",)),
    "metrics": Row("metrics, and what was compared", ("sgkit.measure.task:MeasureResult",)),
    "metrics-list": Row("sgkit metrics list", ("sgkit.config.metric_catalog:CatalogRow",), list),
    "metrics-cache": Row("sgkit metrics cache list and clear", ("sgkit.measure.kept:Kept",)),
    "metrics-several": Row("sgkit metrics with several sets of images", ("sgkit.measure.task:MeasureResult",), list),
    "metrics-seams": Row("sgkit metrics seams", ("sgkit.measure.seams:SeamsResult",)),
    "models": Row("the packaged models", ("sgkit.cli.models:ModelRow",), list),
    "weights": Row("sgkit weights list, fetch, add and verify", ("sgkit.weights:WeightsStatus",), list),
    "demo": Row("the demo's page", ("sgkit.tasks.demo:DemoResult",)),
    "info": Row("a model, or another file", ("sgkit.tasks.info:ModelSummary", "sgkit.tasks.info:FileSummary")),
    "convert": Row("a file written", ("sgkit.tasks.convert:ConvertResult",)),
    "doctor": Row("this machine", ("sgkit.tasks.doctor:DoctorReport",)),
}
RESULT = "-result"
"""Ends the names of results, which may be those of configurations otherwise."""


def schema(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A name from the list; without one, the list.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print the JSON schema of a configuration file or of a command's --json result; list them without a name."""
    rows = CONFIGURATIONS | {f"{name}{RESULT}": row for name, row in RESULTS.items()}
    if name is None:
        listed = {name: row.what for name, row in rows.items()}
        report.emit(listed, json=json, show=_show_names)
        return
    if name not in rows and f"{name}{RESULT}" not in rows:
        raise UsageError(f"Unknown schema {name!r}. {did_you_mean(name, rows)} List them with: sgkit schema")
    report.emit(json_schema(name if name in rows else f"{name}{RESULT}"), json=True, show=lambda _: None)


def _show_names(listed: Mapping[str, str]) -> None:
    for title, results in (("Configurations", False), ("Results of --json", True)):
        report.table(("name", "of"), [one for one in listed.items() if one[0].endswith(RESULT) == results], title=title)


def json_schema(name: str) -> JsonSchemaValue:
    """The schema called ``name``, with what the source says of each field."""
    from pydantic import TypeAdapter

    from sgkit.config.schemas import SchemaWithDocs

    is_result = name.endswith(RESULT)
    row = RESULTS[name.removesuffix(RESULT)] if is_result else CONFIGURATIONS[name]
    kinds = tuple(getattr(importlib.import_module(one.partition(":")[0]), one.partition(":")[2]) for one in row.types)
    kind: Any = functools.reduce(operator.or_, kinds)
    holders = {None: kind, list: list[kind], dict: dict[str, kind]}
    found = TypeAdapter[Any](holders[row.holder]).json_schema(
        mode="serialization" if is_result else "validation", schema_generator=SchemaWithDocs
    )
    return {"$schema": SchemaWithDocs.schema_dialect, **found}
