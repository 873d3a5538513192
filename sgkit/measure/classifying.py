"""Classifiers of images, trained on the labels of a store: what linear separability asks about generated images.

Features of a pretrained network with linear heads are right after minutes; StyleGAN's own classifiers, discriminators
trained from scratch, take days of a GPU and far more images. Features are kept in parts, so an interrupted call goes on
where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sgkit.errors import ConfigError, InputError, SgkitError, UsageError
from sgkit.metrics.features import EXTRACTORS, FeatureExtractor, load_extractor
from sgkit.metrics.heads import fit_head
from sgkit.metrics.image_classifier import HeadInfo, ImageClassifier, save_classifier
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.store.dataset import StoreDataset
from sgkit.store.header import LabelSchema
from sgkit.store.labels.matching import match_names
from sgkit.store.labels.values import LabelTable
from sgkit.store.preparing.labelling import label_columns, read_label_table
from sgkit.unpickle.kept import load_arrays, save_arrays
from sgkit.weights import cache_folder

PART = 512
"""Images whose features are kept together."""
SEPARATORS = (".", "_", "/", "-", ",", " ")
YES_NO = ("no", "yes")


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribute:
    """Something that labels tell about images."""

    name: str
    classes: tuple[str, ...]
    answers: NDArray[np.int64]
    """[N]: number of the class; -1: not known."""


@dataclass(frozen=True, kw_only=True)
class ClassifierResult:
    """Result of :func:`train_classifier`."""

    path: Path | None
    network: str
    heads: tuple[HeadInfo, ...]
    num_images: int
    seconds: float


def train_classifier(
    store: str | Path,
    out: str | Path | None,
    *,
    labels: Path | None = None,
    attributes: Sequence[str] = (),
    network: str = "effnet",
    num_images: int | None = None,
    batch: int = 32,
    seed: int = 0,
    device: torch.device | str = "cpu",
    cache: bool = True,
    on_progress: OnProgress = ignore_progress,
) -> tuple[ImageClassifier, ClassifierResult]:
    """A classifier of the attributes of a labelled store; written to ``out`` if that is given.

    Args:
        store: the store.
        out: the file to write, ``.safetensors``.
        labels: a table of labels, whose rows are named like the images; ``None``: the store's own labels.
        attributes: names of the parts of class names such as ``4.1``; or which columns to use.
        network: a key of :data:`sgkit.metrics.features.EXTRACTORS`.
        num_images: use a fixed random choice of this many images; ``None``: all.
        batch: images at once.
        seed: draws which images are held out.
        device: where the network runs.
        cache: keep features for later calls.
        on_progress: told about images and attributes.

    Raises:
        UsageError: there are no labels that fit, or too few; or the network is unknown.
    """
    began = time.monotonic()
    usable = [name for name, recipe in EXTRACTORS.items() if recipe.dim]
    if network not in usable:
        raise UsageError(f"Unknown feature network {network!r}. Allowed: {', '.join(usable)}.")
    data = StoreDataset(store)
    known = read_attributes(data, labels, attributes)
    extractor = load_extractor(network, device, on_progress=on_progress)
    chosen = np.arange(len(data))
    if num_images is not None and num_images < len(data):
        chosen = np.sort(np.random.RandomState(0).permutation(len(data))[:num_images])
    features = store_features(data, chosen, extractor, batch=batch, cache=cache, on_progress=on_progress)
    heads = []
    for number, one in enumerate(known):
        answers = one.answers[chosen]
        there = answers >= 0
        heads.append(fit_head(features[there], answers[there], name=one.name, classes=one.classes, seed=seed))
        on_progress(Progress(done=number + 1, total=len(known), unit="attributes", stage="fitting"))
    settings = {"store": data.header.content_hash, "num_images": len(chosen), "seed": seed}
    classifier = ImageClassifier(extractor=extractor, heads=tuple(heads), settings=settings)
    path = None if out is None else save_classifier(classifier, out)
    result = ClassifierResult(
        path=path,
        network=network,
        heads=tuple(head.info for head in heads),
        num_images=len(chosen),
        seconds=round(time.monotonic() - began, 1),
    )
    return classifier, result


def store_features(
    data: StoreDataset,
    chosen: NDArray[np.int64],
    extractor: FeatureExtractor,
    *,
    batch: int = 32,
    cache: bool = True,
    on_progress: OnProgress = ignore_progress,
) -> NDArray[np.float32]:
    """Features [N, dim] of the images ``chosen``, in parts that are kept between calls."""
    found = np.empty((len(chosen), extractor.dim), np.float32)
    for start in range(0, len(chosen), PART):
        part = chosen[start : start + PART]
        key = _key(data, part, extractor)
        path = cache_folder("features") / f"{sha256(key.encode()).hexdigest()[:40]}.npz"
        kept = load_arrays(path, key) if cache else None
        values = None if kept is None else kept.get("features")
        if values is None or values.shape != (len(part), extractor.dim):
            rows = []
            for first in range(0, len(part), batch):
                images = torch.stack([data[int(index)][0] for index in part[first : first + batch]])
                rows.append(extractor(images).float().cpu().numpy())
                done = start + first + len(images)
                on_progress(Progress(done=done, total=len(chosen), unit="images", stage="features"))
            values = np.concatenate(rows)
            if cache:
                with suppress(OSError, SgkitError):  # a folder that cannot be written to costs time alone
                    save_arrays(path, key, {"features": values})
        found[start : start + len(part)] = values.astype(np.float32)
        on_progress(Progress(done=start + len(part), total=len(chosen), unit="images", stage="features"))
    return found


def _key(data: StoreDataset, part: NDArray[np.int64], extractor: FeatureExtractor) -> str:
    values: dict[str, Any] = {
        "store": data.header.content_hash,
        "settings": str(data.header.settings),
        "size": list(data.image_size),
        "images": sha256(part.astype("<i8").tobytes()).hexdigest(),
        "extractor": extractor.content_id,
    }
    return json.dumps(values, sort_keys=True)


# ---------------------------------------------------------------------------------------------- attributes


def read_attributes(data: StoreDataset, table: Path | None, wanted: Sequence[str]) -> list[Attribute]:
    """The attributes of a store's own labels, or of a table whose rows are named like its images.

    Class names of several parts, such as ``4.1``, are that many attributes; ``wanted`` names them.

    Raises:
        UsageError: there are no labels, they are numbers, or ``wanted`` does not fit.
        InputError: the table cannot be read, or names none of the images.
    """
    if table is not None:
        return _of_table(data, table, wanted)
    schema, where = data.header.labels, f"The store {data.reader.path}"
    vectors = {index: data.reader.label(index) for index in range(len(data))} if schema.dim else {}
    _check_classes(schema, where)
    return _attributes(schema, vectors, len(data), wanted, where)


def _check_classes(schema: LabelSchema, where: str) -> None:
    if schema.kind == "none" or not schema.dim:
        raise UsageError(
            f"{where} has no labels. Prepare a store with labels (sgkit prepare IMAGES --labels folders --out STORE), "
            "or give a table whose rows are named like the images: --labels FILE.csv"
        )
    if schema.kind == "float":
        raise UsageError(
            f"{where} has labels that are numbers ({', '.join(schema.names[:4])}); a classifier needs classes. Choose "
            "other columns with --attributes, or prepare the store with --label-kind class or multi."
        )


def _of_table(data: StoreDataset, path: Path, wanted: Sequence[str]) -> list[Attribute]:
    """The attributes of a table: one for each column, or for each part of the class names of its only column."""
    columns = label_columns(path, is_image=lambda _: False)
    try:
        table = read_label_table(path, is_image=lambda _: False)
    except (ConfigError, InputError):  # not all columns fit together
        chosen = tuple(wanted) or columns
        if len(columns) < 2:
            raise
        table = read_label_table(path, columns=chosen[:1], is_image=lambda _: False)
    if len(columns) == 1 or table.schema.kind == "multi":
        _check_classes(table.schema, str(path))
        names = wanted
        if not wanted and table.schema.kind == "class" and len(split_classes(table.schema.names)) == 1:
            names = columns
        return _attributes(table.schema, _vectors(data, table, path), len(data), names, str(path))
    found = []
    for name in wanted or columns:
        one = read_label_table(path, columns=(name,), is_image=lambda _: False)
        _check_classes(one.schema, str(path))
        answers = {index: int(np.argmax(vector)) for index, vector in _vectors(data, one, path).items()}
        found.append(_answered(name, one.schema.names, len(data), answers))
    return found


def _vectors(data: StoreDataset, table: LabelTable, path: Path) -> dict[int, Any]:
    """The label vector of each image of the store that a table names, by its number."""
    names = [str(data.reader.meta(index).get("name", index)) for index in range(len(data))]
    matched, labels = match_names(list(table.labels), names).found, list(table.labels.values())
    if not matched:
        raise UsageError(
            f"{path} names {next(iter(table.labels), 'nothing')!r} and so on, but no image of the store, whose images "
            f"are named {names[0]!r} and so on. Name the rows like the images."
        )
    dim = table.schema.dim
    vectors: dict[int, Any] = {}
    for index, entry in matched.items():
        label = labels[entry]
        if label is not None:
            vectors[index] = np.eye(dim)[label] if isinstance(label, int) else np.asarray(label, float)
    return vectors


def _attributes(
    schema: LabelSchema, vectors: Mapping[int, Any], num: int, wanted: Sequence[str], where: str
) -> list[Attribute]:
    if schema.kind == "multi":
        odd = [name for name in wanted if name not in schema.names]
        if odd:
            raise UsageError(f"{where} has no attribute {odd[0]!r}. Allowed: {', '.join(schema.names[:40])}.")
        return [
            _answered(name, YES_NO, num, {index: int(vector[column] > 0.5) for index, vector in vectors.items()})
            for column, name in enumerate(schema.names)
            if not wanted or name in wanted
        ]
    numbers = {index: int(np.argmax(vector)) for index, vector in vectors.items()}
    parts = split_classes(schema.names)
    names = list(wanted) or (["class"] if len(parts) == 1 else [f"part{number + 1}" for number in range(len(parts))])
    if len(names) != len(parts) or len(set(names)) != len(names):
        raise UsageError(
            f"--attributes names {len(names)} attributes, but class names of {where} such as {schema.names[0]!r} have "
            f"{len(parts)} part{'s' * (len(parts) != 1)}. Give {len(parts)} different names, separated by commas."
        )
    found = []
    for name, texts in zip(names, parts, strict=True):
        classes = tuple(sorted(set(texts), key=_in_order))
        answers = {index: classes.index(texts[number]) for index, number in numbers.items()}
        found.append(_answered(name, classes, num, answers))
    return [one for one in found if len(one.classes) > 1]


def _answered(name: str, classes: tuple[str, ...], num: int, answers: Mapping[int, int]) -> Attribute:
    values = np.full(num, -1, np.int64)
    for index, answer in answers.items():
        values[index] = answer
    return Attribute(name=name, classes=classes, answers=values)


def split_classes(names: Sequence[str]) -> list[list[str]]:
    """The parts of class names: one list, of whole names, or several lists of what each part is in each class.

    Names are split where a separator gives all of them the same number of parts, and parts repeat.
    """
    for separator in SEPARATORS:
        rows = [name.split(separator) for name in names]
        count = len(rows[0])
        if count > 1 and all(len(row) == count and all(row) for row in rows):
            columns = [[row[place] for row in rows] for place in range(count)]
            if all(len(set(column)) < len(names) for column in columns):
                return columns
    return [list(names)]


def _in_order(text: str) -> tuple[float, str]:
    try:
        return (float(text), text)
    except ValueError:
        return (float("inf"), text)
