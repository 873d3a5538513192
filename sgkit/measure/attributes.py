"""Attributes of images as numbers: from a table of labels, or from a classifier that a labelled store teaches.

The classifier is a linear one on the features of the metrics' network, so nothing is downloaded and it is fitted in
seconds. It says how right it is on images that it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sgkit.errors import InputError, UsageError, did_you_mean
from sgkit.latents.linear import classifier, ridge
from sgkit.metrics.features import FeatureExtractor, load_extractor
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.store.dataset import StoreDataset
from sgkit.store.header import LabelSchema
from sgkit.store.labels.matching import match_names
from sgkit.store.preparing.labelling import read_label_table

MOST_IMAGES = 4000
"""Of a store that a classifier is fitted to."""
L2 = 1e-1


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One property that labels tell of, and which values mean it."""

    name: str
    """For messages and as the name of a direction."""
    is_class: bool
    """Whether it is there or not; else it is a number."""
    value: Callable[[Sequence[float]], float]
    """From a label vector: 0 or 1, or a number."""


def choose_attribute(schema: LabelSchema, wanted: str | None, *, where: str) -> Attribute:
    """The attribute called ``wanted`` of labels like ``schema``; ``None``: the only one, or the second of two classes.

    Raises:
        UsageError: there are no labels, or none of that name, or several and none was named.
    """
    names = schema.names
    if schema.kind == "none" or not names:
        raise UsageError(
            f"{where} has no labels. Give a table of labels (--labels FILE.csv with --latent), or prepare a store with "
            "labels: sgkit prepare IMAGES --labels FILE --out STORE"
        )
    if wanted is None and not (len(names) == 1 or (schema.kind == "class" and len(names) == 2)):
        raise UsageError(f"{where} has {len(names)} attributes: choose one with --attribute. {did_you_mean('', names)}")
    name = names[-1] if wanted is None else wanted
    if name not in names:
        raise UsageError(f"{where} has no attribute {name!r}. {did_you_mean(name, names)}")
    index = names.index(name)
    if schema.kind == "float":
        return Attribute(name=name, is_class=False, value=lambda vector: float(vector[index]))
    return Attribute(name=name, is_class=True, value=lambda vector: float(vector[index] > 0.5))


def values_of(names: Sequence[str], table: Path, wanted: str | None) -> tuple[Attribute, list[float | None]]:
    """The attribute of a table of labels, and its value for each of ``names``; ``None``: the table does not have it.

    Raises:
        InputError: the table cannot be read, or names none of them.
        UsageError: it has no such attribute.
    """
    found = read_label_table(table, columns=(), kind="auto", is_image=lambda _: False)
    attribute = choose_attribute(found.schema, wanted, where=str(table))
    labels = list(found.labels.values())
    matched = match_names(list(found.labels), names).found
    values: list[float | None] = []
    for number in range(len(names)):
        label = labels[matched[number]] if number in matched else None
        if label is None:
            values.append(None)
        elif isinstance(label, int):
            vector = [float(index == label) for index in range(found.schema.dim)]
            values.append(attribute.value(vector))
        else:
            values.append(attribute.value(label))
    if all(value is None for value in values):
        raise InputError(
            f"{table} has labels for {next(iter(found.labels), 'nothing')!r} and so on, but for none of the latents, "
            f"which are called {', '.join(names[:3])}. Name the rows like the latents."
        )
    return attribute, values


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A linear model of an attribute on features of images."""

    attribute: Attribute
    extractor: FeatureExtractor
    weights: np.ndarray
    bias: float
    score: float
    """On images that it was not fitted to: accuracy for classes, correlation for numbers."""
    chance: float
    """The score of guessing."""

    def __call__(self, images: Tensor) -> Tensor:
        """[N] for ``images`` uint8 [N, C, H, W]: above 0 where the attribute is there; or the number."""
        features = self.extractor(images).double().cpu().numpy()
        return torch.from_numpy(features @ self.weights + self.bias)


def fit_classifier(
    store: Path, wanted: str | None, *, network: str = "effnet", on_progress: OnProgress = ignore_progress
) -> Classifier:
    """The classifier of an attribute that a labelled store teaches.

    Raises:
        UsageError: the store has no such attribute, or all images are alike in it.
    """
    data = StoreDataset(store)
    attribute = choose_attribute(data.header.labels, wanted, where=f"The store {store}")
    extractor = load_extractor(network)
    order = np.random.RandomState(0).permutation(len(data))[:MOST_IMAGES]
    rows, values = [], []
    for first in range(0, len(order), 32):
        items = [data[int(index)] for index in order[first : first + 32]]
        rows.append(extractor(torch.stack([pixels for pixels, _ in items])).double().cpu())
        values += [attribute.value(label.tolist()) for _, label in items]
        on_progress(Progress(done=len(values), total=len(order), unit="images", stage="learning the attribute"))
    x, y = torch.cat(rows).numpy(), np.array(values)
    if len(set(values)) < 2 or len(y) < 20:
        raise UsageError(
            f"The store {store} has {len(y)} images that are all alike in {attribute.name!r}; an attribute needs 20 or "
            "more images with different labels."
        )
    fit = classifier if attribute.is_class else ridge
    split = len(y) * 4 // 5
    weights, bias = fit(x[:split], y[:split], l2=L2)
    guess = x[split:] @ weights + bias
    if attribute.is_class:
        score, chance = float(((guess > 0) == (y[split:] > 0.5)).mean()), float(max(y.mean(), 1 - y.mean()))
    else:
        score, chance = float(np.corrcoef(guess, y[split:])[0, 1]), 0.0
    weights, bias = fit(x, y, l2=L2)
    return Classifier(attribute=attribute, extractor=extractor, weights=weights, bias=bias, score=score, chance=chance)


def clear_examples(scores: Tensor, *, is_class: bool, share: float = 0.25) -> tuple[Tensor, Tensor]:
    """Which samples a classifier is surest of, and their labels: the highest and lowest ``share`` as 1 and 0.

    Numbers are kept as they are, all of them.
    """
    if not is_class:
        return torch.arange(len(scores)), scores
    count = max(int(len(scores) * share), 5)
    order = torch.argsort(scores)
    picked = torch.cat([order[:count], order[-count:]])
    return picked, torch.cat([torch.zeros(count), torch.ones(count)])
