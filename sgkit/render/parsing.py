"""Scenes from JSON and from keys: messages name the key and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from sgkit.errors import SceneError, UsageError, did_you_mean
from sgkit.render.geometry import Crop, Pad, Paste, Patch, Repeat, Resize, Shift, Tile
from sgkit.render.grid import Endless, Grid, GridMap
from sgkit.render.marks import Mark
from sgkit.render.moves import Along, Channel
from sgkit.render.pan import Pan
from sgkit.render.placement import Placement
from sgkit.render.records import Record
from sgkit.render.scene import (
    VERSION,
    Alone,
    Curve,
    LatentRef,
    Line,
    Masked,
    Masks,
    Mix,
    ModelRef,
    Noise,
    Scene,
    Seed,
    Sheet,
    Subject,
)
from sgkit.render.shapes import MaskPicture
from sgkit.text import printable

R = TypeVar("R", bound=Record)
RECORDS: tuple[type[Record], ...] = (
    *(Scene, Sheet, ModelRef, Noise),
    *(Subject, Seed, LatentRef, Curve, Mix, Along, Channel, Placement),
    *(Alone, Line, Masks, Masked, MaskPicture),
    *(Grid, GridMap, Endless, Pan, Mark),
    *(Pad, Crop, Shift, Tile, Resize, Repeat, Paste, Patch),
)


def parse_sheet(values: Any, *, name: str) -> Sheet:
    """The sheet that plain values describe; a lone scene is a sheet of one.

    Args:
        values: what JSON gives.
        name: where they are from, for messages.

    Raises:
        SceneError: the schema is newer, a key is unknown, a value does not fit; the message names the key.
    """
    if not isinstance(values, dict) or not {"scene", "sheet"} & values.keys():
        raise SceneError(f"{name} holds no scene: a JSON object with the key 'scene' or 'sheet' is expected.")
    version = values.get("sheet", values.get("scene"))
    if isinstance(version, int) and version > VERSION:
        raise SceneError(
            f"{name} holds a scene of version {version}; this sgkit reads versions up to {VERSION}. Install a newer "
            "sgkit: pip install --upgrade stylegan-sgkit"
        )
    if "scene" in values:
        return Sheet(scenes=(_validated(Scene, values, name),))
    models, scenes = values.get("models"), values.get("scenes")
    if models is not None and isinstance(scenes, list):
        scenes = [{"models": models, **one} if isinstance(one, dict) and "scene" in one else one for one in scenes]
        values = {key: value for key, value in values.items() if key != "models"} | {"scenes": scenes}
    return _validated(Sheet, values, name)


def _validated(kind: type[R], values: Mapping[str, Any], name: str) -> R:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SceneError(f"{name}: {_first_fault(error)}") from None


def _first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    fault = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in fault["loc"])
    given = printable(repr(fault["input"]), limit=80)
    if fault["type"] == "extra_forbidden":
        known = sorted({alias for one in RECORDS for alias in _keys(one)})
        return f"unknown key {path!r} in the scene. {did_you_mean(str(fault['loc'][-1]), known)}"
    if fault["type"] == "missing":
        return f"the key {path!r} is missing from the scene."
    what = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return what if fault["type"] == "value_error" else f"{path} is {given}; it must be {what}."


def _keys(kind: type[Record]) -> list[str]:
    return [field.serialization_alias or key for key, field in kind.model_fields.items()]


def changed(scene: Scene, settings: Mapping[str, Any]) -> Scene:
    """``scene`` with other values: dotted keys (``noise.kind``), or ``psi``, ``cutoff`` and ``label`` of all subjects.

    Raises:
        UsageError: the key is unknown, or the value does not fit.
    """
    values = scene.model_dump(by_alias=True)
    for key, value in settings.items():
        paths = [["subjects", name, key] for name in values["subjects"]] if key in _OF_SUBJECTS else [key.split(".")]
        for *parents, last in paths:
            node: Any = values
            for parent in parents:
                node = node.get(parent) if isinstance(node, dict) else None
            if not isinstance(node, dict) or last not in node:
                known = node if isinstance(node, dict) else values
                raise UsageError(f"Unknown key {key!r} of the scene. {did_you_mean(last, [*known, *_OF_SUBJECTS])}")
            node[last] = _read(value)
    try:
        return Scene.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"--set: {_first_fault(error)}") from None


_OF_SUBJECTS = ("psi", "cutoff", "label")


def _read(value: Any) -> Any:
    """Text from the command line as JSON where it is, else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
