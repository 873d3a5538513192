"""``sgkit prepare``: options -> task -> report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from glob import iglob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.given import Given
from sgkit.cli.groups import flatten_options
from sgkit.cli.options import JsonOption, Size, parse_image, parse_size
from sgkit.config.sizes import base_size_of
from sgkit.errors import ConfigError, UsageError
from sgkit.text import shell_word

if TYPE_CHECKING:
    from sgkit.store.header import LabelSchema
    from sgkit.store.preparing.plan import PrepareOptions
    from sgkit.tasks.prepare import PrepareResult


def parse_labels(text: str) -> str:
    """Where labels come from: a word, or a table that exists."""
    return text if text in ("auto", "none", "folders") else _existing(text, "label table", "auto, none or folders")


def parse_source(text: str) -> str:
    """A source of images that exists, or a pattern such as ``*.png``, which some shells leave as it is."""
    is_pattern = any(sign in text for sign in "*?[")
    return text if is_pattern and next(iglob(text), None) else parse_image(text)  # noqa: PTH207


def parse_landmarks(text: str) -> str:
    """Where landmarks come from: ``dlib``, or a table that exists."""
    return text if text == "dlib" else _existing(text, "table of landmarks", "dlib")


def _existing(text: str, what: str, words: str) -> str:
    from sgkit.runtime.path_checks import check_exists

    check_exists(text, what, f"Give a file, or one of the words {words}.")
    return text


_pixels, _choice, _labels, _work = (
    partial(typer.Option, rich_help_panel=panel) for panel in ("Pixels", "Which files", "Labels", "Work and faults")
)


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """How images become the records of a store."""

    crop: Annotated[
        str,
        _pixels(metavar="CROP", help="center, wide, none (stretched), random:N, tiles, tiles:PIXELS, celeba or face."),
    ] = "center"
    filter_name: Annotated[
        str, _pixels("--filter", metavar="NAME", help="lanczos, box, bicubic or bilinear; it changes FID.")
    ] = "lanczos"
    channels: Annotated[int, _pixels(metavar="N", help="1 grey, 3 RGB, 4 RGBA.")] = 3
    background: Annotated[str, _pixels(metavar="R,G,B", help="Colour under transparent pixels, 0-255 each.")] = "0,0,0"
    bits: Annotated[
        int, _pixels(metavar="N", help="Bits that 16-bit images use, 8 to 16; 0 finds it from their largest value.")
    ] = 0
    encoding: Annotated[str, _pixels(metavar="NAME", help="png, webp, raw, or jpeg (lossy).")] = "png"
    pyramid: Annotated[
        bool,
        _pixels("--pyramid", help="Also store every smaller size down to 4 pixels (needed for progressive growing)."),
    ] = False
    exact_decoding: Annotated[bool, _pixels("--exact-decoding", help="Decode large JPEGs in full.")] = False
    landmarks: Annotated[
        str, _pixels(metavar="FILE|dlib", parser=parse_landmarks, help="Where --crop face finds eyes and mouths.")
    ] = "dlib"
    limit: Annotated[int | None, _choice(metavar="N", help="Look at the first N files only.")] = None
    shuffle_seed: Annotated[int | None, _choice(metavar="SEED", help="Shuffle the files first.")] = None
    split: Annotated[
        str, _choice(metavar="SHARES", help="Make a store for each name, below --out: train=0.9,val=0.1.")
    ] = ""
    dedupe: Annotated[str, _choice(metavar="HOW", help="Skip duplicates: none, exact or near.")] = "none"
    min_size: Annotated[int, _choice(metavar="PIXELS", help="Skip images whose short side is below this.")] = 0
    max_aspect: Annotated[
        float,
        _choice(
            metavar="RATIO",
            help="Skip images whose long side exceeds this multiple of the short side (0 turns it off).",
        ),
    ] = 0.0
    max_pixels: Annotated[
        int,
        _choice(metavar="N", help="Skip images with more pixels than this (protection against decompression bombs)."),
    ] = 178_956_970
    enlarge: Annotated[
        bool, _choice("--enlarge/--no-enlarge", help="Enlarge images with fewer pixels than --size, or skip them.")
    ] = True
    any_size: Annotated[
        bool, _pixels("--any-size", help="Allow a --size that no network can be trained at, for example 60.")
    ] = False
    animated: Annotated[
        str, _choice(metavar="HOW", help="For animations: use the first frame, or refuse the file.")
    ] = "first"
    seed: Annotated[int, _choice(metavar="SEED", help="Seed of random crops and splits.")] = 0
    labels: Annotated[
        str,
        _labels(
            metavar="auto|none|folders|FILE",
            parser=parse_labels,
            help="auto (the labels of the dataset), none, folders (each subfolder is a class), or a table.",
        ),
    ] = "auto"
    label_columns: Annotated[str, _labels(metavar="NAMES", help="Columns of the table, such as Smiling,Young.")] = ""
    label_kind: Annotated[str, _labels(metavar="KIND", help="auto, class, multi or float.")] = "auto"

    def settings(self, size: Size) -> PrepareOptions:
        """The settings that they stand for.

        Raises:
            ConfigError: a value is not allowed.
        """
        from sgkit.store.preparing.plan import PrepareOptions

        names = vars(self).keys() & PrepareOptions.__dataclass_fields__.keys()
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        values |= {"size": tuple(size), "filter": self.filter_name, "background": _colour(self.background)}
        values["label_columns"] = tuple(self.label_columns.split(",")) if self.label_columns else ()
        return PrepareOptions.from_dict(values)


@flatten_options
def prepare(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            parser=parse_source,
            help="Images, folders, zip or tar files, lists, datasets, stores, or sample:landscapes?count=9.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="STORE", help="Folder of the store to make.")],
    size: Annotated[
        Size, typer.Option("--size", parser=parse_size, metavar="SIZE", help="Side of a square, or WIDTHxHEIGHT.")
    ],
    *,
    images: StoreOptions,
    workers: Annotated[int | None, _work(metavar="N", help="Number of worker processes (default: all cores).")] = None,
    part: Annotated[
        str | None,
        _work(metavar="K/N", help="Process only part K of N, to split the work over N machines."),
    ] = None,
    on_error: Annotated[str, _work(metavar="HOW", help="skip bad files, or stop at the first.")] = "skip",
    max_bad: Annotated[
        float | None, _work(metavar="N", help="Stop above N bad files, or above this fraction if below 1.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Turn folders and archives of images into a store for training; run it again to resume after an interruption."""
    _check_size(size, images)
    _refuse_idle(Given(context), size, images, part, on_error, max_bad)
    from sgkit.tasks import prepare as task

    options = images.settings(size)
    with report.progress_bar("Preparing") as on_progress:
        how: dict[str, Any] = {"workers": workers, "on_error": on_error, "max_bad": max_bad, "on_progress": on_progress}
        how["contact_sheet"] = True
        if images.split:
            results = task.prepare_split(sources, out, options=options, **how)
        else:
            results = {"": task.prepare(sources, out, options=options, part=part, **how)}
    if part is None:  # under torchrun the process that ends last has the result
        if not all(result.is_last for result in results.values()):
            report.note("The first process has done its share; the others continue.")
            return
        report.speak()
    report.emit(results if images.split else results[""], json=json, show=lambda _: _show_all(results))
    if not json:
        show_next(list(results.values()), fits=not images.any_size)


def _check_size(size: Size, images: StoreOptions) -> None:
    """Refuse a size that ``train`` would refuse later.

    Raises:
        ConfigError: no network fits; or it does, and ``--any-size`` has no effect.
    """
    try:
        base_size_of(_stored_size(size, images.crop))
    except ConfigError as error:
        if not images.any_size:
            raise ConfigError(f"{error} To prepare images for other uses than training, add --any-size.") from None
    else:
        if images.any_size:
            raise ConfigError(f"--any-size has no effect: networks fit --size {size}. Remove it.")


def _stored_size(size: Size, crop: str) -> tuple[int, int]:
    """Height and width of the stored images: bars make squares of wide ones."""
    return (max(size), max(size)) if crop == "wide" else (size.height, size.width)


def _refuse_idle(
    given: Given, size: Size, images: StoreOptions, part: str | None, on_error: str, max_bad: float | None
) -> None:
    """Refuse options that would change nothing.

    Raises:
        UsageError: there is one.
    """
    from sgkit.store.header import image_sizes

    crop = images.crop.partition(":")[0]
    sizes = image_sizes(_stored_size(size, crop), pyramid=True)
    is_random = crop == "random" or bool(images.split)
    idle = {
        "--landmarks": ("landmarks" in given and crop != "face", "without --crop face"),
        "--seed": ("seed" in given and not is_random, "without --crop random or --split"),
        "--background": ("background" in given and images.channels == 4, "with --channels 4, which keeps alpha"),
        "--pyramid": (images.pyramid and len(sizes) == 1, f"for images of {size}, which have no halves"),
        "--part": (part is not None and bool(images.split), "with --split"),
        "--max-bad": (max_bad is not None and on_error == "stop", "with --on-error stop"),
    }
    for option, (is_idle, situation) in idle.items():
        if is_idle:
            raise UsageError(f"{option} has no effect {situation}. Remove it.")


def _colour(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if len(numbers) != 3 or not all(word.strip().isdecimal() and int(word) < 256 for word in numbers):
        raise ConfigError(f"background is {text!r}; write three numbers from 0 to 255, such as 255,255,255.")
    return tuple(map(int, numbers))


def _show_all(results: Mapping[str, PrepareResult]) -> None:
    for result in results.values():
        _show(result)


def _show(result: PrepareResult) -> None:
    header = result.header
    if header is None:
        report.facts({"part": result.part.file, "images": f"{result.part.num_images:,}"})
        missing = ", ".join(map(str, result.missing_parts))
        report.note(f"This part is done. The header is written when parts {missing} are.")
        return
    from sgkit.store.contact import contact_sheet_file
    from sgkit.store.images.process import CHANGES
    from sgkit.store.overview import counted, image_facts, label_facts

    listed = f", see {result.path / 'report.jsonl'}" if header.skipped or header.unused else ""
    report.facts(
        {
            "store": result.path,
            "images": image_facts(header),
            "adjusted": counted(header.changed),
            "duplicates": f"{header.repeated:,}",
            "labels": label_facts(header.labels, header.label_counts),
            "skipped": f"{counted(header.skipped)}{listed}",
            "other files": counted(header.unused),
            **({} if result.contact_sheet is None else {"contact sheet": result.contact_sheet}),
            "time": report.duration(result.seconds),
        }
    )
    show_labels(header.labels, header.label_counts)
    for change, count in header.changed.items():
        report.note(f"{count:,} images {CHANGES[change]}.")
    if header.repeated:
        report.note(f"{header.repeated:,} images repeat the pixels of another. To skip them, use --dedupe exact.")
    for text in header.notes:
        report.note(text)
    sheet = contact_sheet_file(result.path)
    if result.contact_sheet is None and sheet.exists():
        report.note(f"No contact sheet was written: {sheet} exists and is another file.")


def show_next(results: Sequence[PrepareResult], *, fits: bool) -> None:
    """Say what to type next."""
    done = [result.path for result in results if result.header is not None]
    if done and fits:
        run = done[0].parent.name if len(done) > 1 else done[0].resolve().name
        report.note(f"Next: sgkit train {shell_word(done[0])} --out {shell_word(f'runs/{run}')}")


def show_labels(labels: LabelSchema, counts: Sequence[int]) -> None:
    """Write a table of the images of each class."""
    from sgkit.store.overview import label_rows

    title, rows = label_rows(labels, counts)
    if rows:
        report.table(("label", "images"), rows, title=title)
