"""What a projection of many images reports: one record for each image, kept in its folder, and one for the call."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sgkit.config.project import ProjectSettings
from sgkit.errors import InputError

METRICS = "metrics.json"
"""The file in an image's folder that holds its :class:`ProjectedImage`."""
REPORT = "report.html"
MOST_NAMED = 10
"""Unusable images that an error names."""


@dataclass(frozen=True, kw_only=True)
class ProjectedImage:
    """The outcome for one image; also the content of its ``metrics.json``."""

    name: str
    source: str
    adapted: str | None
    """What was done to make the image fit the model; ``None``: nothing."""
    distance: float
    """By the loss that was minimised."""
    start_distance: float
    """That of where the search started."""
    mse: float
    """Mean squared error of the pixels, of a range of 0 to 1."""
    psnr: float
    """Peak signal-to-noise ratio in decibels."""
    best_step: int
    steps: int
    seconds: float
    """Time that the search took, divided by the images of its batch."""
    settings: dict[str, Any]
    label: list[float] | None
    target_hash: str
    model_hash: str
    ssim: float | None = None
    """Structural similarity; ``None``: the projection is of a version that did not measure it."""
    prior: float | None = None
    """Squared distance by the prior; ``None``: without one."""
    log_likelihood: float | None = None
    """Of the latent under the prior, up to a constant of the model: minus half the squared distance."""
    mask: str | None = None
    """Where the image was compared: a shape, or a mask's file by content; ``None``: everywhere."""
    terms: dict[str, float] = field(default_factory=dict)
    """Each term of the loss by itself, without its weight, of the image that was found."""
    measures: dict[str, float] = field(default_factory=dict)
    """Further comparisons of the image with its target, by name: see :data:`sgkit.inversion.measures.MEASURES`."""
    precision: str | None = None
    """Number format of the search; ``None``: of a version that did not record it."""
    crop: str = "center"
    """How images of another shape are cut: see :class:`sgkit.inversion.targets.Fitting`."""
    encoder: str | None = None
    """Content hash of the encoder that the search started from; ``None``: there was none."""
    class_search: bool = False
    """Whether the class was searched."""
    label_name: str | None = None
    """Of the class that was found; ``None``: it was given, or there is none."""


@dataclass(frozen=True, kw_only=True)
class UnusableImage:
    """An image that could not be projected."""

    source: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ProjectResult:
    """What was written."""

    folder: Path
    images: tuple[ProjectedImage, ...]
    """All images, in the order given; those that were finished before are among them."""
    num_skipped: int
    """Images that were finished before."""
    seconds: float
    unusable: tuple[UnusableImage, ...] = ()
    """Images that could not be read or used."""
    report: Path | None = None
    """The page about all images; ``None``: there was one image only."""

    @property
    def by_quality(self) -> tuple[ProjectedImage, ...]:
        """The images by falling PSNR."""
        return by_quality(self.images)

    def raise_unusable(self) -> None:
        """Name the images that could not be used, if there are any.

        Raises:
            InputError: there are.
        """
        if not self.unusable:
            return
        count, whole = len(self.unusable), len(self.unusable) + len(self.images)
        named = "; ".join(f"{one.source} {one.reason.rstrip('.')}" for one in self.unusable[:MOST_NAMED])
        more = f"; and {count - MOST_NAMED:,} more, named in {self.report or '--json'}" if count > MOST_NAMED else ""
        raise InputError(
            f"{count:,} of {whole:,} image{'s' * (whole > 1)} could not be projected: {named}{more}. Replace or remove "
            "them; running the same command again projects only what is missing."
        )


def by_quality(images: Sequence[ProjectedImage]) -> tuple[ProjectedImage, ...]:
    """Images by falling PSNR, those of the same quality by name."""
    return tuple(sorted(images, key=lambda image: (-image.psnr, image.name)))


def quality(images: Sequence[ProjectedImage]) -> dict[str, float]:
    """The means over images of PSNR, SSIM, distance, and of every further measure that all of them have."""
    rows = [
        {"PSNR": one.psnr, "distance": one.distance}
        | ({} if one.ssim is None else {"SSIM": one.ssim})
        | ({} if one.log_likelihood is None else {"log-likelihood": one.log_likelihood})
        | one.measures
        for one in images
    ]
    names = [name for name in rows[0] if all(name in row for row in rows)] if rows else []
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in names}


def read_outcome(folder: Path) -> ProjectedImage | None:
    """The outcome in an image's folder; ``None``: there is none yet.

    Raises:
        InputError: the folder holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        return ProjectedImage(**json.loads((folder / METRICS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise InputError(
            f"{folder} exists, but is not a projection. Choose a different --out, or remove that folder."
        ) from None


def check_same(found: ProjectedImage, folder: Path, wanted: Mapping[str, Any], settings: ProjectSettings) -> None:
    """Refuse an outcome of an earlier call that was searched in a different way.

    Args:
        found: the outcome.
        folder: where it is.
        wanted: names of its fields, as a user calls them -> (the field, what this call has there).
        settings: those of this call.

    Raises:
        InputError: naming what differs.
    """
    for what, old, new in _compared(found, wanted, settings):
        if old != new:
            raise InputError(
                f"{folder} holds a projection with a different {what} ({old}, not {new}). "
                "Choose a different --out, or remove that folder."
            )


def _compared(
    found: ProjectedImage, wanted: Mapping[str, Any], settings: ProjectSettings
) -> Iterator[tuple[str, Any, Any]]:
    for field_name, new in wanted.items():
        old = getattr(found, field_name)
        if old is not None or field_name != "precision":
            yield field_name.removesuffix("_hash").replace("target", "image"), old, new
    before = asdict(ProjectSettings())  # of projections made before there was such a setting
    for name, value in asdict(settings).items():
        yield name, found.settings.get(name, before[name]), value
