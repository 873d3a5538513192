"""``sgkit train``: options -> configuration -> task -> report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgkit.cli import report
from sgkit.cli.options import (
    ConfigOption,
    DeviceOption,
    JsonOption,
    SetOption,
    Size,
    SizeOption,
    overrides,
    parse_duration,
    parse_gib,
    parse_kimg,
    parse_model,
    parse_training_images,
)
from sgkit.cli.training import check_source, prepared_store, run_dry, run_training
from sgkit.config.words import AugmentKind, Precision
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.runs import PresetRow


def parse_freeze(text: str | dict[str, Any]) -> dict[str, Any]:
    """Keys of the recipe from ``affine,mapping,d:4``.

    Raises:
        typer.BadParameter: a part is unknown.
    """
    if isinstance(text, dict):
        return text
    keys: dict[str, Any] = {}
    for word in text.split(","):
        name, _, number = word.strip().partition(":")
        if name == "d" and number.isdecimal() and int(number):
            keys["train.freeze_d"] = int(number)
        elif name in ("affine", "mapping") and not number:
            keys[f"train.freeze_{name}"] = True
        else:
            raise typer.BadParameter(
                f"Cannot freeze {word.strip()!r}. Use affine (layers from w to styles), mapping, d:N (the first N "
                "layers of the discriminator), or several: affine,mapping."
            )
    return keys


def train(
    context: typer.Context,
    store: Annotated[
        str | None,
        typer.Argument(
            metavar="STORE",
            parser=parse_training_images,
            help="Image store, made by sgkit prepare; or a folder or archive of images, with --size.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="Folder of the run: snapshots, report, images, log.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME", help="Networks and recipe (default: auto, chosen by images and machine)."
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            metavar="MODEL",
            parser=parse_model,
            help="Start from the weights of this model (any checkpoint that sgkit reads).",
        ),
    ] = None,
    freeze: Annotated[
        dict[str, Any] | None,
        typer.Option(
            "--freeze",
            metavar="PARTS",
            parser=parse_freeze,
            help="With --init: keep these weights as they are: affine, mapping, d:N (N layers of D), or several: "
            "affine,mapping.",
        ),
    ] = None,
    augment: Annotated[
        AugmentKind | None,
        typer.Option("--augment", help="Augmentation for the discriminator; use ada for small datasets."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume from the last complete snapshot, or start a new run if there is none."),
    ] = False,
    kimg: Annotated[
        float | None,
        typer.Option(
            "--kimg", metavar="N", help="Total training length, in thousands of images shown to the discriminator."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", help="Images per step, over all processes.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Seed of all random numbers.")] = None,
    mirror: Annotated[
        bool | None,
        typer.Option("--mirror/--no-mirror", help="Flip half of the images left to right.", show_default=False),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option("--precision", help="Number format; auto selects the faster of bf16 and fp32 for these networks."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAMES",
            help="Metrics computed at each evaluation; the first one selects the best snapshot.",
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            parser=parse_kimg,
            metavar="KIMG",
            help="Evaluate every N thousand images, for example 50 (default: at each snapshot).",
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep", min=1, metavar="N", help="Keep only the newest N snapshots, and the best one (default: all)."
        ),
    ] = None,
    new_data: Annotated[
        bool,
        typer.Option("--new-data", help="With --resume: continue on a different STORE, of the same size and labels."),
    ] = False,
    max_time: Annotated[
        float | None,
        typer.Option(
            "--max-time",
            parser=parse_duration,
            metavar="TIME",
            help="Maximum training time, for example 11.5h, 30m or 90s; then save and exit with code 75.",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            parser=parse_gib,
            metavar="SIZE",
            help="Split batches so that training fits in this much memory, for example 8GiB.",
        ),
    ] = None,
    wandb: Annotated[
        str | None, typer.Option("--wandb", metavar="PROJECT", help="Also report to this project of Weights & Biases.")
    ] = None,
    open_report: Annotated[
        bool, typer.Option("--open", help="Open the report in the browser; it reloads itself while the run trains.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure memory and time, show the configuration, and write nothing.")
    ] = False,
    list_presets: Annotated[
        bool, typer.Option("--list-presets", help="Show all presets and their numbers, for images of --size if given.")
    ] = False,
    size: SizeOption = None,
    device: DeviceOption = "auto",
    config: ConfigOption = None,
    settings: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Train a generator on a store of images; Ctrl-C or SIGTERM saves a snapshot first, and --resume continues."""
    if list_presets:
        _refuse_beside_list(context)
        _list_presets(size, json=json)
        return
    source = _source(store, size)
    if store is None or (out is None and not dry_run):
        raise UsageError(
            f"{'Name the STORE' if store is None else 'Name the folder of the run with --out'}: "
            "sgkit train STORE --out RUN. To see how long it takes first, add --dry-run."
        )
    if new_data and not resume:
        raise UsageError("--new-data has no effect here: it needs --resume. Remove it, or add that.")
    if freeze is not None and init is None and not resume and config is None:
        raise UsageError("--freeze keeps weights of the model of --init, and none is given. Add --init MODEL.")
    given = {
        "init": None if init is None else str(init),
        **(freeze or {}),
        "train.augment.kind": augment,
        "train.total_kimg": kimg,
        "train.batch": batch,
        "train.seed": seed,
        "train.mirror": mirror,
        "train.precision": precision,
        "metrics.names": metrics,
        "metrics.every_kimg": every,
        "keep.last": keep,
        "wandb": wandb,
    }
    run: dict[str, Any] = {
        "preset": preset,
        "config": overrides(config, []),
        "settings": _merged({key: value for key, value in given.items() if value is not None}, settings or [], preset),
        "resume": resume,
        "new_data": new_data,
        "memory_gib": memory,
        "device": device,
    }
    if source is not None:
        check_source(source, out, size, dry_run=dry_run)
    _check_folder(out, resume=resume)
    if source is not None and out is not None:
        store = prepared_store(source, out, size)
    if dry_run:
        run_dry(store, out, run, max_time, json=json)
    elif out is not None:
        run_training(store, out, run, max_time, json=json, open_report=open_report)


def _source(store: str | None, size: Size | None) -> str | None:
    """``store`` if it holds images to prepare a store from; ``None`` if it is a store.

    Raises:
        UsageError: ``--size`` is given with a store.
    """
    from sgkit.runtime.path_checks import is_image_source

    if store is not None and is_image_source(store):
        return store
    if size is not None:
        raise UsageError(
            "--size has no effect here: it needs a folder of images, or --list-presets. The store decides the size of "
            f"its images; for another one: sgkit prepare IMAGES --out STORE --size {_side(str(size))}. Remove it."
        )
    return None


def _refuse_beside_list(context: typer.Context) -> None:
    """Refuse options that have no effect together with ``--list-presets``.

    Raises:
        UsageError: something else is given.
    """
    for parameter in context.command.params:
        name = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.opts[0].upper()
        source = getattr(context.get_parameter_source(str(parameter.name)), "name", "")
        if source == "COMMANDLINE" and name not in ("--list-presets", "--size", "--json"):
            raise UsageError(f"{name} has no effect here: --list-presets only shows the presets. Remove it.")


def _check_folder(out: Path | None, *, resume: bool) -> None:
    """Refuse a folder that cannot hold the run, or a configuration in it that cannot be, before torch is imported.

    Raises:
        InputError, ConfigError: as :class:`sgkit.runs.folder.RunFolder` has them.
    """
    if out is None or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0:
        return
    from sgkit.runs.folder import RunFolder

    folder = RunFolder(out)
    if resume and folder.config_file.exists():
        folder.read_config()
    else:
        folder.check_new()


def _merged(flags: dict[str, Any], settings: list[str], preset: str | None) -> dict[str, Any]:
    """Dotted keys of flags and of ``--set``, which must not name the same ones.

    Raises:
        UsageError: they do, so that one of them would do nothing.
    """
    values = overrides(None, settings)
    for key in values.keys() & {*flags, *(["preset"] if preset else [])}:
        raise UsageError(
            f"--set {key}=... is given together with the option that sets the same key. Remove one of them."
        )
    return values | flags


def _list_presets(size: Size | None, *, json: bool) -> None:
    from sgkit.runs import preset_rows

    rows = preset_rows(None if size is None else (size.height, size.width))
    report.emit(rows, json=json, show=_show_presets)


def _side(size: str) -> str:
    """``1024x1024`` as ``1024``: --size takes a square by its side."""
    width, height = size.split("x")
    return width if width == height else size


def _show_presets(rows: list[PresetRow]) -> None:
    """Two tables, since one would be too wide for a terminal."""
    report.note("auto, the default, chooses one of these and its numbers by the images and the machine.")
    report.table(["preset", "what"], [[row.name, row.summary] for row in rows])
    report.out("")
    report.table(
        ["preset", "for", "G in M", "D in M", "batch", "rate", "R1", "kimg"],
        [
            [
                *(row.name, _side(row.size), f"{row.generator / 1e6:.2f}", f"{row.discriminator / 1e6:.2f}", row.batch),
                *(row.lr, row.r1_gamma, f"{row.kimg:g}"),
            ]
            for row in rows
        ],
    )
