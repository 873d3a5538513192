"""The page about the projection of many images: all of them by quality, with their targets."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from sgkit.config.project import ProjectSettings
from sgkit.inversion.results import REPORT, ProjectedImage, ProjectResult, by_quality, quality
from sgkit.reports.charts import Chart, Curve
from sgkit.reports.pages import Figure, Page, Section, Table, render_page
from sgkit.runtime.files import atomic_path

SIDE = 96
"""Pixels of a thumbnail's height."""
MOST_SHOWN, MOST_ROWS = 60, 2000
"""Images with thumbnails: of more, the best and the worst halves; and rows of the table."""
BINS = 20


def write_report(result: ProjectResult, settings: ProjectSettings, command: str = "") -> Path:
    """Write ``report.html`` into the folder of a projection; it loads nothing from elsewhere.

    Args:
        result: one or more images.
        settings: of the search.
        command: what was typed; empty: the projection was started from Python.
    """
    images = by_quality(result.images)
    sections = [
        Section(
            title="Images",
            text="Target, result and the difference of both (twice as strong), from the best to the worst."
            + ("" if len(images) <= MOST_SHOWN else f" The {MOST_SHOWN // 2} best and {MOST_SHOWN // 2} worst."),
            figures=[_strip(result.folder, image) for image in _ends(images)],
        ),
        Section(title="Quality", charts=[_histogram([image.psnr for image in images])]),
        Section(title="All images", table=_table(images)),
    ]
    if result.unusable:
        rows = [(one.source, one.reason) for one in result.unusable]
        sections.append(Section(title="Not used", table=Table(columns=("image", "reason"), rows=rows)))
    sections.append(Section(title="Settings", facts=_changed(settings)))
    means = {f"mean {name}": f"{value:.4g}" for name, value in quality(images).items()}
    page = Page(
        title=f"Projection of {len(images):,} images",
        lead=f"Best: {images[0].name} ({images[0].psnr:.1f} dB). Worst: {images[-1].name} ({images[-1].psnr:.1f} dB).",
        commands=[command] if command else [],
        facts=means | {"model": images[0].model_hash[:12]},
        sections=sections,
    )
    path = result.folder / REPORT
    with atomic_path(path) as temporary:
        temporary.write_text(render_page(page), encoding="utf-8")
    return path


def _ends(images: Sequence[ProjectedImage]) -> Sequence[ProjectedImage]:
    half = MOST_SHOWN // 2
    return images if len(images) <= MOST_SHOWN else [*images[:half], *images[-half:]]


def _strip(folder: Path, image: ProjectedImage) -> Figure:
    target, found = (_thumbnail(folder / image.name / name) for name in ("target.png", "projection.png"))
    difference = np.minimum(np.abs(target.astype(np.int16) - found) * 2, 255).astype(np.uint8)
    strip = Image.fromarray(np.concatenate([target, found, difference], axis=1))
    buffer = io.BytesIO()
    strip.save(buffer, "WEBP", quality=88)
    ssim = "" if image.ssim is None else f", SSIM {image.ssim:.3f}"
    return Figure(
        data=buffer.getvalue(),
        kind="image/webp",
        width=strip.width,
        height=strip.height,
        caption=f"{image.name}: {image.psnr:.1f} dB{ssim}",
    )


def _thumbnail(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        width = max(round(picture.width * SIDE / picture.height), 1)
        is_small = picture.height < SIDE
        filter_ = Image.Resampling.NEAREST if is_small else Image.Resampling.LANCZOS
        return np.asarray(picture.convert("RGB").resize((width, SIDE), filter_))


def _histogram(values: Sequence[float]) -> Chart:
    """How many images have which PSNR, as a line of steps."""
    counts, edges = np.histogram(values, bins=min(BINS, max(math.isqrt(len(values)) * 2, 2)))
    points = [(float(edges[0]), 0.0)]
    for count, low, high in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        points += [(low, float(count)), (high, float(count))]
    points.append((float(edges[-1]), 0.0))
    return Chart(
        title="PSNR",
        curves=[Curve(name="images", points=points)],
        note="images at each quality",
        from_zero=True,
        x_unit="dB",
    )


def _table(images: Sequence[ProjectedImage]) -> Table:
    measures = dict.fromkeys(name for image in images for name in image.measures)
    columns: dict[str, Callable[[ProjectedImage], str]] = {
        "image": lambda image: image.name,
        "PSNR dB": lambda image: f"{image.psnr:.2f}",
        "SSIM": lambda image: _number(image.ssim),
        "distance": lambda image: _number(image.distance),
        **{name: partial(_measure, name) for name in measures},
        "log-likelihood": lambda image: _number(image.log_likelihood),
        "class": lambda image: image.label_name or "",
        "best step": lambda image: f"{image.best_step} of {image.steps}",
        "seconds": lambda image: f"{image.seconds:.1f}",
        "fitted": lambda image: image.adapted or "",
    }
    cells = {name: [cell(image) for image in images[:MOST_ROWS]] for name, cell in columns.items()}
    filled = {name: column for name, column in cells.items() if any(column)}
    return Table(columns=list(filled), rows=list(zip(*filled.values(), strict=True)), wrapped="fitted")


def _measure(name: str, image: ProjectedImage) -> str:
    return _number(image.measures.get(name))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _changed(settings: ProjectSettings) -> dict[str, str]:
    """The settings that are not the defaults, and those that matter most."""
    given, usual = asdict(settings), asdict(ProjectSettings())
    always = ("space", "loss", "prior", "steps", "seed")
    return {name: str(value) for name, value in given.items() if value != usual[name] or name in always}
