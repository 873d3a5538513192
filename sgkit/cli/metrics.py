"""``sgkit metrics``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from sgkit.cli import report
from sgkit.cli.classifier import check_classifier_option, parse_classifier
from sgkit.cli.given import Given
from sgkit.cli.metrics_shown import act, show_each, show_result, show_seams
from sgkit.cli.options import (
    DeviceOption,
    ForceOption,
    JsonOption,
    LabelOption,
    SeedOption,
    parse_duration,
    parse_gib,
    parse_image,
    parse_measured,
    parse_model,
)
from sgkit.config.metrics import check_metrics, metric_named
from sgkit.config.words import FeaturePrecision
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.measure.task import MeasureResult


SEAMS = "seams"
"""Not a distance from data: how visible the joins of a panorama are."""


NOT_OF_SEAMS = (
    *("data", "num_images", "num_data", "psi", "label", "batch", "seed", "workers", "cache", "confidence", "precision"),
    *("by_class", "neighbours", "discriminator"),
)
"""Parameters that measure sets of images."""


class Names(tuple[str, ...]):
    """Names of metrics."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(self)


def parse_metrics(text: str | Names) -> Names:
    """Names of metrics, separated by commas.

    Raises:
        UsageError: a metric is unknown.
    """
    if isinstance(text, Names):
        return text
    names = Names(name.strip() for name in text.split(",") if name.strip())
    if names != (SEAMS,):
        check_metrics(names)
    return names


class MetricsCommand(TyperCommand):
    """``sgkit metrics list``, ``seams FILE`` and ``cache list|clear`` besides measuring images."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write ``seams FILE`` as ``FILE --metrics seams``, and ``cache list`` as ``--action cache-list``."""
        alone = len(args) == 1 or args[1].startswith("-") if args else False
        if args[:1] == [SEAMS] and not alone:
            args[:2] = [args[1], "--metrics", SEAMS]
        elif args[:1] == ["list"] and alone:
            args[:1] = ["--action", "list"]
        elif args[:1] == ["cache"] and args[1:2] in (["list"], ["clear"]):
            args[:2] = ["--action", f"cache-{args[1]}"]
        return super().parse_args(ctx, args)


COMMAND_CLASS = MetricsCommand


def metrics(
    context: typer.Context,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|IMAGES|STORE...",
            parser=parse_measured,
            help="Images to measure: one or more models (or their names), stores, folders, zip files, lists, or "
            "statistics that --save-statistics, pytorch-fid, clean-fid or NVIDIA's tools wrote.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            parser=parse_image,
            metavar="STORE|IMAGES",
            help="Reference images, usually the training data. Required, except for metrics of the images alone.",
            show_default="for a run, the store that it was trained on",
        ),
    ] = None,
    names: Annotated[
        Names,
        typer.Option(
            "--metrics",
            metavar="NAMES",
            parser=parse_metrics,
            help="One or more metrics, separated by commas. Against a dataset: fid50k_full, kid50k_full, fd_effnet, "
            "kd_effnet, pr50k3_full, dc_effnet, swd; of images alone: is50k, ms_ssim; of generators: ppl_wend, ls, "
            "eqt50k_int; of faces: identity. List all with: sgkit metrics list. Or seams: how visible the joins of a "
            "panorama are.",
        ),
    ] = Names(("fd_effnet", "kd_effnet")),  # noqa: B008
    num_images: Annotated[
        int | None,
        typer.Option(
            "--num-images",
            min=2,
            metavar="N",
            help="Number of images to generate or read.",
            show_default="all, or for a model the metric's standard, for example 50,000 for FID",
        ),
    ] = None,
    num_data: Annotated[
        int | None,
        typer.Option(
            "--num-data",
            min=2,
            metavar="N",
            help="Number of reference images to use.",
            show_default="all, or what the metric's protocol says",
        ),
    ] = None,
    psi: Annotated[
        float, typer.Option("--psi", metavar="PSI", help="Truncation psi of a model's images; 1 turns it off.")
    ] = 1.0,
    label: LabelOption = None,
    classifier: Annotated[
        Path | None,
        typer.Option(
            "--classifier",
            metavar="FILE",
            parser=parse_classifier,
            help="ls: the classifier of images, made by 'sgkit classifier train'.",
        ),
    ] = None,
    discriminator: Annotated[
        Path | None,
        typer.Option(
            "--discriminator",
            metavar="MODEL",
            parser=parse_model,
            help="fd_d and other metrics that end in _d: the model whose discriminator makes the features.",
            show_default="the measured model, if only one is measured",
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Images per batch.")] = 32,
    seed: SeedOption = 0,
    workers: Annotated[
        int, typer.Option("--workers", min=0, metavar="N", help="Processes that read a store; 0 reads in this process.")
    ] = 0,
    confidence: Annotated[
        int,
        typer.Option(
            "--confidence",
            min=0,
            metavar="N",
            help="Add 95% confidence intervals from N sets of resampled images, for example 200.",
            show_default="0, no intervals",
        ),
    ] = 0,
    neighbours: Annotated[
        Path | None,
        typer.Option(
            "--neighbours",
            metavar="FILE.png",
            help="Write an image of the first measured images, each beside its 5 nearest reference images.",
        ),
    ] = None,
    by_class: Annotated[
        bool,
        typer.Option("--by-class", help="Measure each class of the reference store by itself, and show one table."),
    ] = False,
    precision: Annotated[
        FeaturePrecision,
        typer.Option(
            "--precision",
            help="Number format of the feature network. bf16 is faster on some processors; values differ slightly, so "
            "compare only values of the same format.",
        ),
    ] = "fp32",
    all_snapshots: Annotated[
        bool,
        typer.Option("--all-snapshots", help="Measure every snapshot of a run, and write the values into its report."),
    ] = False,
    save_statistics: Annotated[
        Path | None,
        typer.Option(
            "--save-statistics",
            metavar="FILE.npz",
            help="Write the statistics of the measured images, for later comparisons; pytorch-fid reads the file.",
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table in Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print the table in LaTeX.")] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write an HTML page: table, curves over kimg, protocols."),
    ] = None,
    force: ForceOption = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep the statistics of images for later runs.")
    ] = True,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than",
            metavar="TIME",
            parser=parse_duration,
            help="cache clear: remove only statistics that were not used for this time, for example 30d.",
            show_default="all",
        ),
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(
            "--max-size",
            metavar="SIZE",
            parser=parse_gib,
            help="cache clear: remove the statistics unused for the longest time until this size is left, for example "
            "5GiB.",
            show_default="all",
        ),
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", hidden=True, help="Do this instead: list, cache-list or cache-clear.")
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Compare images with a dataset: FID, KID, Inception score, precision, recall, path lengths and others.

    Images of a model come from the seeds 0, 1, 2 ..., so results are reproducible. Under torchrun, processes share the
    work. 'sgkit metrics list' shows all metrics; 'sgkit metrics seams FILE' measures the joins of a panorama; 'sgkit
    metrics cache list' and 'cache clear' show and remove the statistics that are kept between runs.
    """
    given = Given(context)
    for name in ("older_than", "max_size"):
        given.refuse(name, when=action != "cache-clear", because="it chooses what 'sgkit metrics cache clear' removes")
    if action is not None:
        for parameter in context.command.params:
            if parameter.name not in ("action", "json", "older_than", "max_size"):
                said = f"'sgkit metrics {action.replace('-', ' ')}' measures nothing"
                given.refuse(str(parameter.name), when=True, because=said)
        act(action, older_than=older_than, max_size=max_size, json=json)
        return
    if not images:
        raise UsageError("Missing argument 'MODEL|IMAGES|STORE...': what to measure.")
    if tuple(names) == (SEAMS,):
        for name in NOT_OF_SEAMS:
            given.refuse(name, when=True, because="seams are measured in one panorama, without data")
        _seams(images, device, json=json)
        return
    if sum((markdown, latex, json)) > 1:
        raise UsageError("--markdown, --latex and --json are different forms of the same result. Give one of them.")
    if html is not None:
        from sgkit.runtime.files import check_new

        check_new(html, overwrite=force)
    check_classifier_option(names, classifier, given)
    data = data or _data_of(images, names, may_lack=save_statistics is not None)
    from sgkit.measure.task import MeasureConfig

    config = MeasureConfig(
        images=images[0],
        data=data,
        metrics=tuple(names),
        num_images=num_images,
        num_data=num_data,
        truncation_psi=psi,
        label=label,
        discriminator=None if discriminator is None else str(discriminator),
        classifier=None if classifier is None else str(classifier),
        batch=batch,
        seed=seed,
        device=device,
        num_workers=workers,
        cache=cache,
        by_class=by_class,
        confidence=confidence,
        precision=precision,
        save_statistics=None if save_statistics is None else str(save_statistics),
        neighbours=None if neighbours is None else str(neighbours),
        overwrite=force,
    )
    with report.progress_bar("Measuring") as on_progress:
        results = _measure(config, images, all_snapshots=all_snapshots, on_progress=on_progress)
    _emit(results, json=json, markdown=markdown, latex=latex, html=html)


def _data_of(images: Sequence[str], names: Sequence[str], *, may_lack: bool) -> str | None:
    """The store of the first run among ``images``, if a metric needs reference images and none were given."""
    if not any(metric_named(name).needs == "data" for name in names):
        return None
    from sgkit.runs.fill import store_of

    store = store_of(images[0])
    if store is None and not may_lack:
        raise UsageError("Missing option '--data': the images to compare with, usually the training data.")
    if store is not None:
        report.note(f"Reference images: {store}, which {images[0]} was trained on.")
    return store


def _measure(config: Any, images: Sequence[str], *, all_snapshots: bool, on_progress: Any) -> list[MeasureResult]:
    if not all_snapshots:
        from sgkit.measure.task import measure_each

        return measure_each(config, images, on_progress=on_progress)
    if len(images) > 1:
        raise UsageError(f"--all-snapshots measures one run; {len(images)} were given.")
    from sgkit.runs.fill import measure_snapshots

    return measure_snapshots(config, on_progress=on_progress)


def _emit(results: list[MeasureResult], *, json: bool, markdown: bool, latex: bool, html: Path | None) -> None:
    from sgkit.measure import tables

    if html is not None:
        from sgkit.runtime.files import atomic_path

        with atomic_path(html) as temporary:
            temporary.write_text(tables.page(results), encoding="utf-8")
    if markdown or latex:
        report.block((tables.markdown if markdown else tables.latex)(results))
    elif len(results) == 1:
        report.emit(results[0], json=json, show=show_result)
    else:
        report.emit(results, json=json, show=show_each)
    for text in dict.fromkeys(text for result in results for text in result.warnings):
        report.warning(text)
    if html is not None:
        report.note(f"Written: {html}")


def _seams(images: Sequence[str], device: str, *, json: bool) -> None:
    if len(images) > 1:
        raise UsageError(f"Seams are measured in one panorama; {len(images)} files were given.")
    from sgkit.measure.seams import measure_seams
    from sgkit.runtime.device import resolve_device

    report.emit(measure_seams(images[0], device=resolve_device(device)), json=json, show=show_seams)
