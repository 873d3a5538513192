"""Options that mean the same everywhere, and the parsers that read them.

A command writes ``seeds: SeedsOption = Seeds((0,))``; the value that arrives is parsed and checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from sgkit.config import Precision
from sgkit.errors import UsageError

__all__ = [
    "ConfigOption",
    "DeviceOption",
    "JsonOption",
    "LabelOption",
    "Layers",
    "LayersOption",
    "ModelArgument",
    "PrecisionOption",
    "SeedOption",
    "Seeds",
    "SeedsOption",
    "SetOption",
    "Size",
    "SizeOption",
    "overrides",
    "parse_duration",
    "parse_gib",
    "parse_kimg",
    "parse_layers",
    "parse_seeds",
    "parse_size",
]

MAX_SEED = 2**32 - 1
"""The largest seed: latents are drawn as NVIDIA's tools draw them, from 32-bit seeds."""
MAX_NUMBERS = 1_000_000
"""How many numbers one list may stand for, so that a slip such as ``0-4000000000`` does not fill the memory."""


class Seeds(tuple[int, ...]):
    """Seeds in the order given: ``0,3,7-12``."""

    __slots__ = ()


class Layers(tuple[int, ...]):
    """Layer numbers, rising: ``0-3,6``."""

    __slots__ = ()


class Size(NamedTuple):
    """Height and width in pixels, as the library counts; written ``WIDTHxHEIGHT``."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


# ----------------------------------------------------------------------------------------------- parsers


def parse_seeds(text: str | Seeds) -> Seeds:
    """Seeds from ``0,3,7-12`` (ranges with both ends), in that order; repeats stay.

    Raises:
        typer.BadParameter: the text is no such list, or a seed is above 4294967295.
    """
    if isinstance(text, Seeds):
        return text
    seeds = Seeds(_parse_ranges(text, "seeds", "0,3,7-12"))
    if max(seeds) > MAX_SEED:
        raise typer.BadParameter(f"Seed {max(seeds)} is too large; the largest is {MAX_SEED}.")
    return seeds


def parse_layers(text: str | Layers) -> Layers:
    """Layer numbers from ``0-3,6``, sorted, each once.

    Raises:
        typer.BadParameter: the text is no such list.
    """
    return text if isinstance(text, Layers) else Layers(sorted(set(_parse_ranges(text, "layers", "0-3,6"))))


def parse_size(text: str | Size) -> Size:
    """Height and width from ``64`` (a square) or ``448x256`` (width x height).

    Raises:
        typer.BadParameter: the text is no such size.
    """
    if isinstance(text, Size):
        return text
    match = re.fullmatch(r"\s*(\d{1,6})\s*(?:[xX\u00d7]\s*(\d{1,6})\s*)?", text)
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if width < 1 or height < 1:
        raise typer.BadParameter(f"{text!r} is no size. Give the side of a square (64) or WIDTHxHEIGHT (448x256).")
    return Size(height, width)


def parse_duration(text: str | float) -> float:
    """Seconds from ``11.5h``, ``30m``, ``90s``, ``2d`` or a plain number.

    Raises:
        typer.BadParameter: the text is no such time, or none at all.
    """
    units = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
    return _quantity(text, units, "time", "11.5h, 30m or 90s")


def parse_kimg(text: str | float) -> float:
    """Thousands of images from ``50`` or ``50kimg``.

    Raises:
        typer.BadParameter: the text is no such number.
    """
    return _quantity(text, {"": 1.0, "kimg": 1.0}, "number of thousand images", "50 or 50kimg")


def parse_gib(text: str | float) -> float:
    """GiB from ``8GiB``, ``8G``, ``8`` or ``512MiB``.

    Raises:
        typer.BadParameter: the text is no such amount.
    """
    units = {"": 1.0, "gib": 1.0, "g": 1.0, "gb": 1e9 / 2**30, "mib": 2**-10, "m": 2**-10, "mb": 1e6 / 2**30}
    return _quantity(text, units, "amount of memory", "8GiB or 512MiB")


def _quantity(text: str | float, units: Mapping[str, float], what: str, examples: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", str(text).lower())
    if not match or match[2] not in units or float(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no {what}. Write it like {examples}.")
    return float(match[1]) * units[match[2]]


def overrides(config: Path | None, settings: Sequence[str]) -> dict[str, Any]:
    """Dotted keys and values from ``--config FILE.toml``, then ``--set key=value``; later ones win.

    The keys are for :func:`sgkit.config.override`, which names the nearest known key of an unknown one.

    Raises:
        InputError: the file cannot be read.
        ConfigError: the file is no TOML.
        UsageError: a setting is not of the form ``key=value``.
    """
    from sgkit.runtime.toml import read_toml

    values = _dotted(read_toml(config)) if config else {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key.strip() and equals):
            raise UsageError(f"Setting {setting!r} is not of the form key=value, such as --set r1_gamma=5.")
        values[key.strip()] = value.strip()
    return values


def _parse_ranges(text: str, what: str, example: str) -> list[int]:
    numbers: list[int] = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})\s*(?:-\s*(\d{1,10})\s*)?", word)
        if not match:
            raise typer.BadParameter(f"{text!r} is no list of {what}. Write numbers and ranges, such as {example}.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise typer.BadParameter(f"Range {word.strip()!r} runs backwards. Write it {last}-{first}.")
        if len(numbers) + last - first >= MAX_NUMBERS:
            raise typer.BadParameter(f"{text!r} stands for more than {MAX_NUMBERS:,} {what}. Ask for fewer at a time.")
        numbers.extend(range(first, last + 1))
    return numbers


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


# ----------------------------------------------------------------------------------------------- options

ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A model file, a run folder (its best snapshot), or a checkpoint of another tool."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="Number format; auto is bf16 where the device is fast in it, else fp32."),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Seed of everything random.")]
SeedsOption = Annotated[
    Seeds, typer.Option("--seeds", parser=parse_seeds, metavar="LIST", help="Seeds, such as 0,3,7-12; both ends count.")
]
SizeOption = Annotated[
    Size | None,
    typer.Option("--size", parser=parse_size, metavar="SIZE", help="Side of a square (64) or WIDTHxHEIGHT (448x256)."),
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        "--class",
        "--label",
        metavar="LABEL",
        help="Class number (3), class name, or label vector (0.2,0.8).",
        show_default=False,
    ),
]
LayersOption = Annotated[
    Layers | None,
    typer.Option("--layers", parser=parse_layers, metavar="LIST", help="Layers of w+, such as 0-3,6; both ends count."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the result to standard output as JSON.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file with configuration keys.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one configuration key; may be repeated.")
]
