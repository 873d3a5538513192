"""A classifier of images for linear separability: linear heads, one for each attribute, on a feature network.

A file (``.safetensors``) holds, for the head number i, ``weight.i`` [classes, dim] and ``bias.i`` [classes]; its header
names the attributes, their classes, how often each head is right on images that it was not fitted to, and the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import sgkit
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.metrics.features import EXTRACTORS, FeatureExtractor, load_extractor
from sgkit.runtime.path_checks import check_classifier
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.runtime.tensor_files import write_safetensors
from sgkit.unpickle.budget import bad_data, failing_as
from sgkit.unpickle.safetensors_header import SafetensorsHeader, float_arrays, read_safetensors_header

FORMAT_VERSION = 1
METADATA_KEY = "sgkit.classifier"
KEYS = frozenset({"format_version", "sgkit_version", "network", "network_id", "heads", "settings"})
HEAD_KEYS = frozenset({"name", "classes", "accuracy", "chance", "num_images", "num_held_out"})
MOST_HEADS, MOST_CLASSES, LONGEST_NAME = 1000, 1000, 200


@dataclass(frozen=True, kw_only=True)
class HeadInfo:
    """One attribute, and how well it is told."""

    name: str
    classes: tuple[str, ...]
    accuracy: float
    """On images that the head was not fitted to."""
    chance: float
    """Share of the most frequent class among them: the accuracy of guessing."""
    num_images: int
    """That the head was fitted to."""
    num_held_out: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """One attribute's linear model: logits are ``features @ weight.T + bias``."""

    info: HeadInfo
    weight: NDArray[np.float32]
    """[classes, dim]"""
    bias: NDArray[np.float32]
    """[classes]"""


@dataclass(frozen=True, kw_only=True)
class ClassifierHeader:
    """What a classifier file says of itself; reading it reads no tensor."""

    network: str
    """A key of :data:`sgkit.metrics.features.EXTRACTORS`."""
    network_id: str
    """The network's weights and preprocessing."""
    heads: tuple[HeadInfo, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Plain facts about the training."""
    sgkit_version: str = sgkit.__version__


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageClassifier:
    """Heads and the network that they read."""

    extractor: FeatureExtractor
    heads: tuple[Head, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, images: Tensor) -> dict[str, NDArray[np.float64]]:
        """Attribute -> probabilities [N, classes] for ``images`` uint8 [N, C, H, W]."""
        features = self.extractor(images).double().cpu().numpy()
        return {head.info.name: probabilities(head, features) for head in self.heads}


def probabilities(head: Head, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, classes] for ``features`` [N, dim]."""
    logits = torch.from_numpy(features @ head.weight.T.astype(np.float64) + head.bias)
    found: NDArray[np.float64] = torch.softmax(logits, dim=1).numpy()
    return found


# --------------------------------------------------------------------------------------------------- files


def save_classifier(classifier: ImageClassifier, path: str | Path) -> Path:
    """Write ``classifier`` to ``path``, whole or not at all.

    Raises:
        UsageError: ``path`` does not end in ``.safetensors``.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UsageError(f"Unsupported extension {path.suffix or 'of ' + path.name!r}. Use .safetensors for --out.")
    header = {
        "format_version": FORMAT_VERSION,
        "sgkit_version": sgkit.__version__,
        "network": classifier.extractor.name,
        "network_id": classifier.extractor.content_id,
        "heads": [{**vars(head.info), "classes": list(head.info.classes)} for head in classifier.heads],
        "settings": dict(classifier.settings),
    }
    tensors = {}
    for number, head in enumerate(classifier.heads):
        tensors[f"weight.{number}"] = torch.from_numpy(np.ascontiguousarray(head.weight, np.float32))
        tensors[f"bias.{number}"] = torch.from_numpy(np.ascontiguousarray(head.bias, np.float32))
    write_safetensors(tensors, path, key=METADATA_KEY, header=header)
    return path


def read_classifier_header(path: str | Path) -> ClassifierHeader:
    """What the file at ``path`` says of itself.

    Raises:
        InputError: the file is missing, of another kind, or damaged.
    """
    return _read(path)[0]


def load_classifier(
    path: str | Path, device: torch.device | str = "cpu", *, on_progress: OnProgress = ignore_progress
) -> ImageClassifier:
    """The classifier in a file that :func:`save_classifier` wrote, with its network on ``device``.

    Raises:
        InputError: the file is missing, of another kind or damaged, or its network is not known here.
        MissingDependencyError: its network needs a package that is not installed.
        WeightsError: its network's weights cannot be downloaded.
    """
    header, raw = _read(path)
    with _reading(path):
        arrays = float_arrays(path, raw)
    extractor = load_extractor(header.network, device, on_progress=on_progress)
    if extractor.content_id != header.network_id:
        raise InputError(
            f"{path} was trained with a different version of the network {header.network} ({header.network_id[:80]}; "
            f"here {extractor.content_id[:80]}). Train it again: sgkit classifier train STORE --out FILE"
        )
    heads = tuple(
        Head(info=info, weight=arrays[f"weight.{number}"], bias=arrays[f"bias.{number}"])
        for number, info in enumerate(header.heads)
    )
    return ImageClassifier(extractor=extractor, heads=heads, settings=header.settings)


def _read(path: str | Path) -> tuple[ClassifierHeader, SafetensorsHeader]:
    file = check_classifier(path)
    with _reading(path):
        raw = read_safetensors_header(file)
        return _header(raw), raw


def _reading(path: str | Path) -> AbstractContextManager[None]:
    advice = " Train it again: sgkit classifier train STORE --out FILE"
    return failing_as(f"Cannot read a classifier from {path}", kind=InputError, advice=advice)


def _header(raw: SafetensorsHeader) -> ClassifierHeader:
    with bad_data("its header"):
        values = raw.values(METADATA_KEY, names=KEYS, version=FORMAT_VERSION)
        if not isinstance(values["settings"], dict):
            raise CheckpointError("its header is damaged: the settings are not a table.")
        network = values["network"]
        if network not in EXTRACTORS:
            allowed = ", ".join(name for name, recipe in EXTRACTORS.items() if recipe.dim)
            raise CheckpointError(f"it reads the unknown network {str(network)[:40]!r}; known are {allowed}.")
        if not 0 < len(values["heads"]) <= MOST_HEADS:
            raise CheckpointError(f"it has {len(values['heads'])} heads; 1 to {MOST_HEADS} are allowed.")
        heads = tuple(_head_info(entry) for entry in values["heads"])
        if len({head.name for head in heads}) != len(heads):
            raise CheckpointError("it names an attribute twice.")
        _check_shapes(raw, heads, EXTRACTORS[network].dim)
        return ClassifierHeader(
            network=network,
            network_id=str(values["network_id"])[:1000],
            heads=heads,
            settings=values["settings"],
            sgkit_version=str(values["sgkit_version"])[:40],
        )


def _head_info(entry: Any) -> HeadInfo:
    if not isinstance(entry, dict) or set(entry) != HEAD_KEYS:
        raise CheckpointError("its header is damaged: the entry of an attribute has unknown or missing keys.")
    names = [entry["name"], *entry["classes"]]
    if not all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in names):
        raise CheckpointError("its header is damaged: names of attributes and classes must be short texts.")
    if not 2 <= len(entry["classes"]) <= MOST_CLASSES:
        raise CheckpointError(f"attribute {names[0]!r} has {len(names) - 1} classes; 2 to {MOST_CLASSES} are allowed.")
    rates = (float(entry["accuracy"]), float(entry["chance"]))
    counts = (entry["num_images"], entry["num_held_out"])
    if not all(0 <= rate <= 1 for rate in rates) or not all(type(count) is int and count >= 0 for count in counts):
        raise CheckpointError(f"its header is damaged: the numbers of attribute {names[0]!r} are out of range.")
    return HeadInfo(
        name=names[0],
        classes=tuple(names[1:]),
        accuracy=rates[0],
        chance=rates[1],
        num_images=counts[0],
        num_held_out=counts[1],
    )


def _check_shapes(raw: SafetensorsHeader, heads: Sequence[HeadInfo], dim: int) -> None:
    wanted: dict[str, tuple[int, ...]] = {}
    for number, head in enumerate(heads):
        wanted |= {f"weight.{number}": (len(head.classes), dim), f"bias.{number}": (len(head.classes),)}
    held = {name: entry.shape for name, entry in raw.tensors.items()}
    if held != wanted:
        odd = next(name for name in sorted(set(held) | set(wanted)) if held.get(name) != wanted.get(name))
        raise CheckpointError(f"its tensor {odd[:40]!r} does not fit the attributes in its header.")
