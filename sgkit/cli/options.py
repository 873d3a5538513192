"""Options that mean the same everywhere, and the parsers that read them.

A command writes ``size: SizeOption = None``; the value that arrives is parsed and checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from sgkit.cli.groups import Without
from sgkit.config.words import Precision
from sgkit.errors import UsageError
from sgkit.runtime.ranges import parse_ranges

MAX_SEED = 2**32 - 1
"""The largest seed: latents are drawn as NVIDIA's tools draw them, from 32-bit seeds."""


class Seeds(tuple[int, ...]):
    """Seeds in the order given: ``0,3,7-12``."""

    __slots__ = ()


class Layers(tuple[int, ...]):
    """Layer numbers, rising: ``0-3,6``."""

    __slots__ = ()


class Psi(tuple[float, ...]):
    """Truncation psi: one number, or one for each w of w+."""

    __slots__ = ()


class Size(NamedTuple):
    """Height and width in pixels, as the library counts; written ``WIDTHxHEIGHT``."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


DEFAULT_PSI = Psi((1.0,))


# ----------------------------------------------------------------------------------------------- parsers


def parse_seeds(text: str | Seeds) -> Seeds:
    """Seeds from ``0,3,7-12`` (ranges with both ends), in that order; repeats stay.

    Raises:
        typer.BadParameter: the text is not such a list, or a seed is above 4294967295.
    """
    if isinstance(text, Seeds):
        return text
    seeds = Seeds(_parse_ranges(text, "seeds", "0,3,7-12"))
    if max(seeds) > MAX_SEED:
        raise typer.BadParameter(f"Seed {max(seeds)} is too large; the largest is {MAX_SEED}.")
    return seeds


def parse_layers(text: str | Layers, *, groups: Sequence[str] = ()) -> Layers:
    """Layer numbers from ``0-3,6``, sorted, each once; ``groups`` are words that the option takes as well.

    Raises:
        typer.BadParameter: the text is not such a list.
    """
    if isinstance(text, Layers):
        return text
    other = f", or a name: {', '.join(groups)}" if groups else ""
    return Layers(sorted(set(_parse_ranges(text, "layers", "0-3,6", other=other))))


def parse_size(text: str | Size) -> Size:
    """Height and width from ``64`` (a square) or ``448x256`` (width x height).

    Raises:
        typer.BadParameter: the text is not such a size.
    """
    if isinstance(text, Size):
        return text
    match = re.fullmatch(r"\s*(\d{1,6})\s*(?:[xX\u00d7]\s*(\d{1,6})\s*)?", text)
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if width < 1 or height < 1:
        raise typer.BadParameter(f"Not a size: {text!r}. Use the side of a square (64) or WIDTHxHEIGHT (448x256).")
    return Size(height, width)


def parse_psi(text: str | Psi) -> Psi:
    """Truncation psi from ``0.7``, or one for each layer from ``1,1,0.7,0.5``.

    Raises:
        typer.BadParameter: the text is not such a list.
    """
    if isinstance(text, Psi):
        return text
    try:
        psi = Psi(float(word) for word in text.split(","))
    except ValueError:
        psi = Psi((math.nan,))
    if not all(map(math.isfinite, psi)):
        raise typer.BadParameter(
            f"Not a truncation psi: {text!r}. Use one number (0.7), or one for each layer of w+ (1,1,0.7,0.5)."
        )
    return psi


def one_or_each(values: tuple[float, ...]) -> float | tuple[float, ...]:
    """A number where one was given, else all."""
    return values[0] if len(values) == 1 else tuple(values)


def parse_duration(text: str | float) -> float:
    """Seconds from ``11.5h``, ``30m``, ``90s``, ``2d`` or a plain number.

    Raises:
        typer.BadParameter: the text is not a time above 0.
    """
    units = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
    return _quantity(text, units, "a time", "11.5h, 30m or 90s")


def parse_kimg(text: str | float) -> float:
    """Thousands of images from ``50`` or ``50kimg``.

    Raises:
        typer.BadParameter: the text is not such a number.
    """
    return _quantity(text, {"": 1.0, "kimg": 1.0}, "a number of thousand images", "50 or 50kimg")


def parse_gib(text: str | float) -> float:
    """GiB from ``8GiB``, ``8G``, ``8`` or ``512MiB``.

    Raises:
        typer.BadParameter: the text is not such an amount.
    """
    units = {"": 1.0, "gib": 1.0, "g": 1.0, "gb": 1e9 / 2**30, "mib": 2**-10, "m": 2**-10, "mb": 1e6 / 2**30}
    return _quantity(text, units, "an amount of memory", "8GiB or 512MiB")


def _quantity(text: str | float, units: Mapping[str, float], what: str, examples: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", str(text).lower())
    if not match or match[2] not in units or float(match[1]) == 0:
        raise typer.BadParameter(f"Not {what}: {text!r}. Write it like {examples}.")
    value = float(match[1]) * units[match[2]]
    if not math.isfinite(value):
        raise typer.BadParameter(f"Too large: {text!r}. Write it like {examples}.")
    return value


def overrides(config: Path | None, settings: Sequence[str]) -> dict[str, Any]:
    """Dotted keys and values from ``--config FILE.toml``, then ``--set key=value``; later ones win.

    The keys are for :func:`sgkit.config.override`, which names the nearest known key of an unknown one.

    Raises:
        InputError: the file cannot be read.
        ConfigError: the file is not TOML.
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


def _parse_ranges(text: str, what: str, example: str, *, other: str = "") -> list[int]:
    try:
        return parse_ranges(text, what, example, other=other)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


# ------------------------------------------------------------------------------------------------- paths
#
# Parsers look at paths while options are read, which is before a command imports torch.


def parse_existing(text: str | Path) -> Path:
    """A path where something is; what is wrong with it is said by :mod:`sgkit.runtime.path_checks`."""
    from sgkit.runtime.path_checks import check_exists

    return check_exists(text, "file or folder", "Check the spelling.").path


def parse_model(text: str | Path) -> Path:
    """A path where a model may be, or the name of a packaged model, which stays a name."""
    from sgkit.runtime.path_checks import check_model

    check_model(text)
    return Path(text)


def parse_store(text: str | Path) -> Path:
    """A path where a store may be."""
    from sgkit.runtime.path_checks import check_store

    return check_store(text)


def parse_training_images(text: str | Path) -> str:
    """A path where a store, or images to prepare one from, may be."""
    from sgkit.runtime.path_checks import check_training_images

    return check_training_images(text)


def parse_any(text: str | Path) -> Path:
    """A path where something is, or the name of a packaged model."""
    from sgkit.runtime.path_checks import check_any

    check_any(text)
    return Path(text)


def parse_measured(text: str | Path) -> str:
    """A source of images, a model, or the name of a packaged model."""
    from sgkit.runtime.path_checks import check_measured

    return check_measured(text)


def parse_image(text: str | Path) -> str:
    """A source of images."""
    from sgkit.runtime.path_checks import check_images

    return check_images(text)


# ----------------------------------------------------------------------------------------------- options

ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        parser=parse_model,
        help="A model file, a run folder (its best snapshot), a foreign checkpoint, or a name from: sgkit models",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="Number format; auto selects the faster of bf16 and fp32 for this model."),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Random seed.")]
SizeOption = Annotated[
    Size | None,
    typer.Option("--size", parser=parse_size, metavar="SIZE", help="Side of a square (64) or WIDTHxHEIGHT (448x256)."),
]
ImageSizeOption = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="N",
        min=1,
        help="Image size, if the checkpoint does not record it (rosinality's StyleGAN1).",
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        "--class",
        "--label",
        metavar="LABEL",
        help="For conditional models: class number (3), class name, label vector (0.2,0.8), or random. Several "
        "(spring,autumn or 0-3) or all: every image in each of these classes, in turn.",
        show_default=False,
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the result to standard output as JSON.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", parser=parse_existing, help="TOML file with configuration keys."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one configuration key. Can be repeated.")
]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """On what a command runs, and what it does with its result."""

    precision: PrecisionOption = "auto"
    device: DeviceOption = "auto"
    force: ForceOption = False
    json: JsonOption = False


FixedRunOptions = Annotated[RunOptions, Without({"precision"})]
"""Of commands whose number format is not chosen."""
