"""The label that a class number, a class name or a vector stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sgkit.errors import UsageError, did_you_mean
from sgkit.model.model import Model
from sgkit.text import name_list

LabelChoice = int | str | Sequence[float]
"""A class number; a label vector; either of them, or the name of a class, as text; for seeds also ``random``, and
several classes: names with commas between them, or ``all``."""
RANDOM_CLASS = "random"
"""Stands for a class that depends on the seed."""
ALL_CLASSES = "all"
"""Stands for every class."""


def class_list(model: Model, label: LabelChoice | None) -> tuple[str, ...]:
    """The classes of a list of names, or of ``all``; empty: ``label`` is one label.

    Raises:
        UsageError: some words of the list are names of classes, others are not.
    """
    names = model.class_names
    if not isinstance(label, str) or label in names:
        return ()
    if label == ALL_CLASSES and model.config.label_dim > 0:
        return tuple(names) or tuple(map(str, range(model.config.label_dim)))
    words = tuple(word.strip() for word in label.split(","))
    if len(words) == 1 or not any(word in names for word in words):
        return ()
    for word in words:
        if word not in names:
            raise UsageError(f"{word!r} is not a class of this model. {did_you_mean(word, names)}")
    return words


def seed_label(model: Model, label: LabelChoice | None, seed: int) -> Tensor | None:
    """As :func:`label_vector`; ``random`` is a class that the seed chooses."""
    if label != RANDOM_CLASS or model.config.label_dim == 0 or RANDOM_CLASS in model.class_names:
        return label_vector(model, label)
    generator = np.random.RandomState([seed, 1])  # independent of z, which RandomState(seed) draws
    return model.one_hot(int(generator.randint(model.config.label_dim)), count=1)


def label_vector(model: Model, label: LabelChoice | None) -> Tensor | None:
    """[1, label_dim] for what :data:`LabelChoice` names; ``None`` for a model without labels.

    Raises:
        UsageError: the model needs a label and there is none, takes none, or takes another.
    """
    length = model.config.label_dim
    if label is None:
        if length > 0:
            raise UsageError(f"This model is conditional: choose a class with --class. {_allowed_labels(model)}")
        return None
    if length == 0:
        raise UsageError("This model is unconditional: remove --class (in Python: label).")
    chosen = _parsed_label(model, label) if isinstance(label, str) else label
    if isinstance(chosen, int):
        return model.one_hot([chosen])
    if len(chosen) != length:
        raise UsageError(f"A label of length {len(chosen)} was given. {_allowed_labels(model)}")
    if not all(math.isfinite(value) for value in chosen):
        raise UsageError(f"The label {list(chosen)} is not finite. {_allowed_labels(model)}")
    return torch.tensor([list(chosen)], dtype=torch.float32, device=model.device)


def _parsed_label(model: Model, text: str) -> int | Sequence[float]:
    """The class number or vector that ``text`` stands for; names come first, since they may look like numbers."""
    if text in model.class_names:
        return model.class_names.index(text)
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    is_class = len(values) == 1 and model.config.label_dim != 1
    if (
        not values
        or not all(math.isfinite(value) for value in values)
        or (is_class and not (values[0] >= 0 and values[0].is_integer()))
    ):
        known = "" if model.class_names or not any(map(str.isalpha, text)) else ": its file has no class names"
        raise UsageError(f"{text!r} is not a class of this model{known}. {_allowed_labels(model)}")
    return int(values[0]) if is_class else values


def _allowed_labels(model: Model) -> str:
    names, length = model.class_names, model.config.label_dim
    if length == 1:
        return "Allowed: one number."
    named = f" ({name_list(names)})" if names else ""
    vector = f"a label vector of {length} numbers (0.2,0.8,...)"
    lists = f"{RANDOM_CLASS}, {ALL_CLASSES}{', or several names with commas' if names else ''}"
    return f"Allowed: a class number from 0 to {length - 1}{named}, {vector}, or for seeds: {lists}."
