"""``sgkit metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from sgkit.cli import report
from sgkit.cli.options import DeviceOption, Given, JsonOption, LabelOption, SeedOption, parse_image, parse_measured
from sgkit.config.metrics import METRIC_ROWS, check_metrics, metric_named
from sgkit.errors import UsageError

if TYPE_CHECKING:
    from sgkit.measure.inputs import ImageSetInfo
    from sgkit.measure.seams import SeamsResult
    from sgkit.measure.task import MeasureResult


SEAMS = "seams"
"""Not a distance from data: how visible the joins of a panorama are."""


class Names(tuple[str, ...]):
    """Names of metrics."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(self)


def parse_metrics(text: str | Names) -> Names:
    """Names of metrics, separated by commas.

    Raises:
        UsageError: there is no metric of such a name.
    """
    if isinstance(text, Names):
        return text
    names = Names(name.strip() for name in text.split(",") if name.strip())
    if names != (SEAMS,):
        check_metrics(names)
    return names


class MetricsCommand(TyperCommand):
    """``sgkit metrics seams FILE`` measures the joins of a panorama."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write ``seams FILE`` as ``FILE --metrics seams``."""
        if args[:1] == [SEAMS] and len(args) > 1 and not args[1].startswith("-"):
            args[:2] = [args[1], "--metrics", SEAMS]
        return super().parse_args(ctx, args)


COMMAND_CLASS = MetricsCommand


def metrics(
    context: typer.Context,
    images: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|IMAGES|STORE",
            parser=parse_measured,
            help="Images to measure: a model (or its name), store, folder, zip file or list.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            parser=parse_image,
            metavar="STORE|IMAGES",
            help="Reference images, usually the training data. Required, except for metrics of the images alone.",
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        Names,
        typer.Option(
            "--metrics",
            metavar="NAMES",
            parser=parse_metrics,
            help=f"One or more of {', '.join(row.name for row in METRIC_ROWS)}, separated by commas; or seams: how "
            "visible the joins of a panorama are.",
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
        typer.Option("--num-data", min=2, metavar="N", help="Number of reference images to use.", show_default="all"),
    ] = None,
    psi: Annotated[
        float, typer.Option("--psi", metavar="PSI", help="Truncation psi of a model's images; 1 turns it off.")
    ] = 1.0,
    label: LabelOption = None,
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Images per batch.")] = 32,
    seed: SeedOption = 0,
    workers: Annotated[
        int, typer.Option("--workers", min=0, metavar="N", help="Processes that read a store; 0 reads in this process.")
    ] = 0,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep the statistics of the data for later runs.")
    ] = True,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Compare images with a dataset: FID, KID, and the same distances on EfficientNet features.

    Images of a model come from the seeds 0, 1, 2 ..., so results are reproducible. Under torchrun, processes share the
    work. 'sgkit metrics seams FILE' measures the joins of a panorama.
    """
    given = Given(context)
    if tuple(names) == (SEAMS,):
        for name in ("data", "num_images", "num_data", "psi", "label", "batch", "seed", "workers", "cache"):
            given.refuse(name, when=True, because="seams are measured in one panorama, without data")
        from sgkit.measure.seams import measure_seams
        from sgkit.runtime.device import resolve_device

        report.emit(measure_seams(images, device=resolve_device(device)), json=json, show=_show_seams)
        return
    if data is None and any(metric_named(name).needs == "data" for name in names):
        raise UsageError("Missing option '--data': the images to compare with, usually the training data.")
    from sgkit.measure.task import MeasureConfig, measure

    config = MeasureConfig(
        images=images,
        data=data,
        metrics=tuple(names),
        num_images=num_images,
        num_data=num_data,
        truncation_psi=psi,
        label=label,
        batch=batch,
        seed=seed,
        device=device,
        num_workers=workers,
        cache=cache,
    )
    with report.progress_bar("Measuring") as on_progress:
        result = measure(config, on_progress=on_progress)
    report.emit(result, json=json, show=_show)
    for text in result.warnings:
        report.warning(text)


def _show_seams(result: SeamsResult) -> None:
    rows = [
        (what, found.ratio, found.at_joins, found.elsewhere)
        for what, found in (
            ("pixels, columns", result.seams.x),
            ("pixels, rows", result.seams.y),
            ("pixels, tiles across", result.seams.tiles_x),
            ("pixels, tiles down", result.seams.tiles_y),
            ("features, columns", result.features_x),
            ("features, rows", result.features_y),
        )
        if found is not None
    ]
    if not rows:
        report.out(f"{result.file} is one image, which has no joins.")
        return
    report.table(("steps of", "ratio (1.0 = no visible seam)", "at joins", "elsewhere"), rows)


def _show(result: MeasureResult) -> None:
    rows = [(value.name, value.value, value.std, value.num_images, value.num_data) for value in result.metrics]
    report.table(("metric", "value", "± of subsets", "images", "data"), rows)
    report.out("")
    sides = {"images": result.images, "data": result.data}
    report.facts({name: _describe(info) for name, info in sides.items() if info is not None})


def _describe(info: ImageSetInfo) -> str:
    words = [f"{info.path} ({info.kind}), {info.size_text}"]
    if info.resize_filter is not None:
        words.append(f"resized by {info.resize_filter}")
    if info.kimg is not None:
        words.append(f"{info.kimg:g} kimg, psi {info.truncation_psi:g}")
    return ", ".join(words)
