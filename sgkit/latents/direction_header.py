"""What the header of a direction file says. Reading it needs no torch, so the command line checks names at once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sgkit.errors import CheckpointError, InputError, UsageError, did_you_mean
from sgkit.runtime.path_checks import check_directions
from sgkit.unpickle.budget import bad_data, failing_as
from sgkit.unpickle.safetensors_header import SafetensorsHeader, read_safetensors_header

FORMAT_VERSION = 1
METADATA_KEY = "sgkit.directions"
KEYS = frozenset(
    {"format_version", "sgkit_version", "space", "method", "names", "signs", "layers", "model", "settings"}
)
SPACES = ("z", "w", "w+", "s")
MOST_DIRECTIONS = 10_000
MOST_BYTES = 1 << 30
"""Of one file's tensors."""
LONGEST_NAME = 200
STEPS, EXPLAINED, STYLE = "steps", "explained", "s_"


@dataclass(frozen=True, kw_only=True)
class DirectionHeader:
    """What a direction file holds, without its numbers."""

    space: str
    """``z``, ``w``, ``w+`` or ``s``."""
    method: str
    """How they were found."""
    names: tuple[str, ...]
    signs: tuple[str, ...]
    """What positive strength does, one text for each direction."""
    layers: tuple[int, ...] | None
    """The w of w+ that they move unless told otherwise; ``None``: all, or not a question in this space."""
    model_hash: str
    """Content hash of the model that they were found for."""
    sgkit_version: str
    shapes: dict[str, tuple[int, ...]]
    settings: dict[str, Any] = field(default_factory=dict)
    """Plain facts about how they were found."""

    def index(self, name: str | None, *, file: str) -> int:
        """The place of the direction called ``name``, or of that number; ``None``: the only one.

        Raises:
            UsageError: there is none of that name, or none was given and there are several.
        """
        listed = f"List them with: sgkit directions list {file}"
        if name is None:
            if len(self.names) == 1:
                return 0
            raise UsageError(
                f"{file} holds {len(self.names)} directions ({_some(self.names)}); say which one, for example "
                f"{file}:{self.names[0]}=2. {listed}"
            )
        if name in self.names:
            return self.names.index(name)
        if re.fullmatch(r"\d{1,6}", name) and int(name) < len(self.names):
            return int(name)
        raise UsageError(
            f"{file} holds no direction {name!r}. {did_you_mean(name, self.names)} "
            f"Numbers from 0 to {len(self.names) - 1} are allowed, too. {listed}"
        )


def read_direction_header(path: str | Path) -> DirectionHeader:
    """The header of a direction file; nothing else of it is read.

    Raises:
        InputError: the file is missing, of another kind, or damaged.
    """
    return read_headers(path)[0]


def read_headers(path: str | Path) -> tuple[DirectionHeader, SafetensorsHeader]:
    """As :func:`read_direction_header`, with where the tensors are in the file."""
    file = check_directions(path)
    advice = " Find them again: sgkit directions find MODEL --out FILE"
    with failing_as(f"Cannot read directions from {file}", kind=InputError, advice=advice):
        raw = read_safetensors_header(file)
        return _header(raw), raw


def _header(raw: SafetensorsHeader) -> DirectionHeader:
    with bad_data("its header"):
        values = raw.values(METADATA_KEY, names=KEYS, version=FORMAT_VERSION)
        names, signs, layers = values["names"], values["signs"], values["layers"]
        whole = layers is None or all(type(one) is int and 0 <= one < 1000 for one in layers)
        texts = [*names, *signs, values["model"], values["method"], values["sgkit_version"]]
        if not (whole and all(isinstance(one, str) and len(one) <= LONGEST_NAME for one in texts)):
            raise CheckpointError("its header is damaged: names must be short texts, and layers whole numbers.")
        if values["space"] not in SPACES or not isinstance(values["settings"], dict):
            raise CheckpointError(f"it is of the unknown space {str(values['space'])[:20]!r}.")
        if not 0 < len(names) <= MOST_DIRECTIONS or len(signs) != len(names) or len(set(names)) != len(names):
            raise CheckpointError(f"it names {len(names)} directions and {len(signs)} signs, or a name twice.")
        found = DirectionHeader(
            space=values["space"],
            method=values["method"],
            names=tuple(names),
            signs=tuple(signs),
            layers=None if layers is None else tuple(layers),
            model_hash=values["model"],
            sgkit_version=values["sgkit_version"],
            shapes={name: entry.shape for name, entry in raw.tensors.items()},
            settings=values["settings"],
        )
        _check_shapes(found, raw)
        return found


def _check_shapes(found: DirectionHeader, raw: SafetensorsHeader) -> None:
    """Refuse tensors that do not fit the names, of another type, or of more bytes than are read."""
    count, held = len(found.names), dict(found.shapes)
    if any(entry.dtype != "F32" for entry in raw.tensors.values()):
        raise CheckpointError("its tensors are not of 32-bit numbers.")
    if sum(4 * math.prod(shape) for shape in held.values()) > MOST_BYTES:
        raise CheckpointError(f"its tensors have more than {MOST_BYTES:,} bytes.")
    steps, explained = held.pop(STEPS, None), held.pop(EXPLAINED, (count,))
    ndim = 3 if found.space == "w+" else 2
    known = all(name.startswith(STYLE) for name in held) if found.space == "s" else set(held) == {found.space[:1]}
    fits = all(len(shape) == ndim and shape[0] == count for shape in held.values())
    if not held or not known or not fits or (steps, explained) != ((count,), (count,)):
        raise CheckpointError(f"its tensors do not fit {count} directions of the space {found.space}.")


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
