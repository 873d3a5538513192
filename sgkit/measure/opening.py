"""Whatever there is at a path, as images to compare: a store, files, saved statistics or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.checkpoint import load
from sgkit.errors import InputError, UsageError
from sgkit.measure.inputs import IMAGE_KINDS, IMAGE_SOURCES, FileImages, GeneratedImages, ImageSet, StoreImages
from sgkit.measure.statistics_files import SavedStatistics, is_statistics_file
from sgkit.model import Model
from sgkit.model.labels import LabelChoice, class_list, seed_label
from sgkit.packaged import packaged_path
from sgkit.runtime.detect import detect
from sgkit.runtime.model_names import split_name
from sgkit.runtime.path_checks import latent_files
from sgkit.store.header import HEADER_NAME, PLAN_NAME
from sgkit.store.sources.folders import FilesSource

PROJECTION, TARGET = "projection.png", "target.png"
"""What is measured of a projection, and what it is compared with."""


def open_image_set(
    path: str,
    *,
    num: int | None,
    num_generated: int,
    device: torch.device,
    truncation_psi: float = 1.0,
    label: LabelChoice | None = None,
    label_pool: ImageSet | None = None,
    seed: int = 0,
    num_workers: int = 0,
    class_index: int | None = None,
    is_data: bool = False,
) -> ImageSet:
    """The images at ``path``: a store, saved statistics, files, or else a model.

    Of a folder of projections, the projections; with ``is_data`` their targets.

    Args:
        num: how many images to use; ``None``: all, or ``num_generated`` of a model.
        label: of a conditional model's images, ``random`` or several classes for different ones; ``None``: labels drawn
            from ``label_pool`` by ``seed``.
        class_index: of a store's images, and of a model's if ``label`` is ``None``; ``None``: all classes.
        is_data: whether they are the reference images.

    Raises:
        InputError: there is nothing at ``path``, or fewer images than ``num``.
        UsageError: labels and model do not fit.
    """
    folder = packaged_path(path)
    if (folder / HEADER_NAME).is_file() or (folder / PLAN_NAME).is_file():
        return StoreImages(path, num=num, num_workers=num_workers, class_index=class_index)
    if class_index is not None and not _is_model(folder):
        raise UsageError(
            f"{path} has no classes that could be compared one by one. Give a labelled store (sgkit prepare IMAGES "
            "--labels folders --out STORE) or a conditional model."
        )
    if is_statistics_file(folder):
        if num is not None:
            raise InputError(f"{path} has statistics of a fixed number of images: remove --num-images or --num-data.")
        return SavedStatistics(path)
    if is_projections(folder):
        name = TARGET if is_data else PROJECTION
        files = [str(file.parent / name) for file in latent_files(folder)]
        return FileImages(path, num=num, source=FilesSource([file for file in files if Path(file).is_file()]))
    model = model_at(path, device)
    if model is None:
        return FileImages(path, num=num)
    if class_index is not None and not model.config.label_dim:
        raise UsageError(f"{path} is an unconditional model, so its images have no classes. Remove --by-class.")
    count = num or num_generated
    labels, labels_of = _labels(model, count, class_index if label is None else label, label_pool, seed)
    how: dict[str, Any] = {"truncation_psi": truncation_psi, "labels": labels, "labels_of": labels_of}
    return GeneratedImages(model, num=count, path=path, **how)


def is_projections(path: str | Path) -> bool:
    """Whether ``path`` is a folder that ``sgkit project`` made, of one image or several."""
    return detect(path).kind in ("projection", "projections")


def model_at(path: str, device: torch.device) -> Model | None:
    """The model at ``path``; ``None``: there are images, or saved statistics of some."""
    folder = packaged_path(path)
    is_store = (folder / HEADER_NAME).is_file() or (folder / PLAN_NAME).is_file()
    if is_store or is_statistics_file(folder) or (split_name(path).delta is None and not _is_model(folder)):
        return None
    return load(path, device=device)


def _is_model(path: Path) -> bool:
    if path.is_dir():
        return (path / "snapshots").is_dir() or next(path.glob("[!.]*.safetensors"), None) is not None
    return path.is_file() and path.suffix.lower() not in IMAGE_SOURCES and detect(path).kind not in IMAGE_KINDS


def _labels(
    model: Model, count: int, label: LabelChoice | None, pool: ImageSet | None, seed: int
) -> tuple[Tensor | None, str | None]:
    """Labels [count, label_dim] for the seeds 0, 1 ..., and where they are from, in words."""
    dim = model.config.label_dim
    if label is None and dim == 0:
        return None, None
    if label is None:
        if not isinstance(pool, StoreImages) or pool.dataset.label_dim != dim:
            has = f"; {pool.path} has {pool.dataset.label_dim}" if isinstance(pool, StoreImages) else ""
            raise UsageError(
                f"This model is conditional ({dim} classes{has}). Compare it with a store that has these labels, or "
                "choose classes: --class random (a random one for each image), all (all in turn), or a name."
            )
        return pool.labels(count, seed), pool.path
    classes = class_list(model, label) if isinstance(label, str) else ()
    several = classes or (label,)  # each image has the next one
    chosen = [seed_label(model, several[number % len(several)], number) for number in range(count)]
    rows = [row for row in chosen if row is not None]
    text = label if isinstance(label, str) else str(label).strip("()[]")
    return torch.cat(rows).cpu() if rows else None, text
