"""How results of ``sgkit metrics`` are shown in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sgkit.cli import report
from sgkit.errors import UsageError
from sgkit.runtime.limits import size_of

if TYPE_CHECKING:
    from sgkit.config.metric_catalog import CatalogRow
    from sgkit.measure.image_info import ImageSetInfo
    from sgkit.measure.kept import Kept
    from sgkit.measure.seams import SeamsResult
    from sgkit.measure.task import MeasureResult
    from sgkit.metrics.values import MetricValue


def act(action: str, *, older_than: float | None, max_size: float | None, json: bool) -> None:
    """List the metrics, or list or clear the kept statistics.

    Args:
        action: ``list``, ``cache-list`` or ``cache-clear``.
        older_than: clear only what was not used for this many seconds.
        max_size: clear only until this many GiB are left.
        json: whether to print JSON.

    Raises:
        UsageError: another action.
    """
    if action == "list":
        from sgkit.config.metric_catalog import list_catalog

        report.emit(list_catalog(), json=json, show=show_catalog)
        return
    from sgkit.measure.kept import clear_kept, list_kept

    if action not in ("cache-list", "cache-clear"):
        raise UsageError(f"Unknown action {action!r}. Use: sgkit metrics list, or sgkit metrics cache list or clear")
    if action == "cache-list":
        report.emit(list_kept(), json=json, show=show_kept)
        return
    most_bytes = None if max_size is None else int(max_size * 2**30)
    report.emit(clear_kept(unused_for=older_than, most_bytes=most_bytes), json=json, show=show_kept)


def show_catalog(rows: Sequence[CatalogRow]) -> None:
    """Show what there is to measure, by what is measured, and below what the networks need."""
    columns = ("metric", "features", "protocol", "images", "data", "")
    for method in dict.fromkeys(one.method for one in rows):
        group = [one for one in rows if one.method == method]
        report.out(f"{group[0].measures} ({group[0].better} is better):")
        report.table(columns, [_catalog_cells(one) for one in group])
        report.out("")
    for one in {(one.features or one.name): one for one in rows if one.needs}.values():
        report.out(f"{one.features or one.name} needs: {'; '.join(one.needs)}")
    report.out("An ONNX file is also a network of features: fd_FILE.onnx, kd_FILE.onnx and so on.")


def _catalog_cells(one: CatalogRow) -> tuple[str, ...]:
    data = f"{one.num_data:,}" if one.num_data else "all" if one.compares in ("data", "pairs") else "-"
    return (one.name, one.features or "-", one.protocol, f"{one.num_images:,}", data, one.variant)


def show_kept(found: Kept) -> None:
    """Show the kept statistics, or what was removed."""
    if not found.removed and found.files:
        rows = [
            (one.images, one.extractor, one.statistic, one.num_images, f"{one.size / 1e6:.1f} MB", one.used, one.state)
            for one in found.files
        ]
        report.table(("images", "features", "statistic", "number", "size", "last used", "state"), rows)
        report.out("")
    done = "Removed" if found.removed else "Kept"
    report.out(f"{done}: {len(found.files)} files, {found.size / 1e6:.1f} MB, in {found.folder}")
    if not found.removed:
        from sgkit.metrics.cache import LIMIT_VARIABLE

        report.out(f"Limit: {size_of(found.limit)} (environment variable {LIMIT_VARIABLE})")


def show_seams(result: SeamsResult) -> None:
    """Show the seams of a panorama."""
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


def show_result(result: MeasureResult) -> None:
    """Show the values of one set of images; notes are below the table, once each."""
    from sgkit.measure.tables import mark_of

    marks: dict[str, str] = {}
    rows = [
        (
            value.name,
            value.value,
            _uncertainty(value),
            value.num_images,
            value.num_data,
            mark_of(value.notes, marks) if value.notes else "",
        )
        for value in result.metrics
    ]
    columns = ("metric", "value", "±", "images", "data", "notes")
    report.table(columns if marks else columns[:-1], rows if marks else [row[:-1] for row in rows])
    for note, mark in marks.items():
        report.out(f"{mark} {note}")
    report.out("")
    sides = {"images": result.images, "data": result.data}
    report.facts({name: _describe(info) for name, info in sides.items() if info is not None})


def _uncertainty(value: MetricValue) -> str | None:
    if value.std is None:
        return None
    between = "" if value.interval is None else f", 95% {value.interval[0]:.4g} to {value.interval[1]:.4g}"
    return f"{value.std:.3g} ({value.std_of}){between}"


def show_each(results: list[MeasureResult]) -> None:
    """Show several results in one table."""
    from sgkit.measure.tables import grid_of

    grid = grid_of(results)
    letters = [_letter(number) for number in range(len(results))]
    if len(grid.columns) > 4:  # columns of many metrics would be too narrow
        turned = [list(column) for column in zip(grid.columns, *grid.rows, strict=True)]
        report.table(("metric", *letters), turned[1:])
        report.out("")
        report.facts(dict(zip(letters, turned[0][1:], strict=True)))
    else:
        report.table(grid.columns, grid.rows)
    for note in grid.notes:
        report.out(note)
    data = results[0].data
    if data is not None:
        report.out("")
        report.facts({"data": _describe(data)})


def _describe(info: ImageSetInfo) -> str:
    words = [f"{info.path} ({info.kind})"]
    if info.image_size != (0, 0):  # of statistics of other tools it is not known
        words.append(info.size_text)
    if info.resize_filter is not None:
        words.append(f"resized by {info.resize_filter}")
    if info.kimg is not None:
        words.append(f"{info.kimg:g} kimg, psi {info.truncation_psi:g}")
    if info.labels is not None:
        words.append(f"labels: {info.labels}")
    return ", ".join(words)


def _letter(number: int) -> str:
    """A, B ... Z, A1, B1 ..."""
    return chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")
