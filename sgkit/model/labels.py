"""The label that a class number, a class name or a vector stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sgkit.errors import UsageError, did_you_mean
from sgkit.model.model import Model
from sgkit.text import name_list

LabelChoice = int | str | Sequence[float]
"""A class number; a label vector; either of them, or the name of a class, as text; for seeds also ``random``."""
LabelChoices = LabelChoice | Sequence[int | str]
"""One :data:`LabelChoice`, or several classes: numbers and names, as text ``0-3``, ``rose,lily`` or ``all``."""
RANDOM_CLASS, ALL_CLASSES = "random", "all"
"""Stand for a class that depends on the seed, and for every class."""


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
            raise UsageError(
                f"This model is conditional: choose a class with --class (in Python: label). {_allowed_labels(model)}"
            )
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


def class_list(model: Model, label: LabelChoices | None) -> tuple[LabelChoice, ...]:
    """The classes that a list names, in order; empty: ``label`` is one label.

    Raises:
        UsageError: the model has no such class.
    """
    found = _words(model, label) if isinstance(label, str) else _items(label)
    for one in found:
        if one != RANDOM_CLASS:
            label_vector(model, one)
    return tuple(found)


def one_label(model: Model, label: LabelChoices | None) -> LabelChoice | None:
    """``label``, which must not be a list of several classes.

    Raises:
        UsageError: it is.
    """
    found = class_list(model, label)
    if len(found) > 1:
        raise UsageError(f"{len(found)} classes were given, and one is needed here. Give one class.")
    return found[0] if found else label  # type: ignore[return-value]


def _items(label: LabelChoices | None) -> list[LabelChoice]:
    is_list = isinstance(label, Sequence) and not any(isinstance(one, float) for one in label)
    return [*label] if is_list and label is not None else []  # type: ignore[misc]


def _words(model: Model, text: str) -> list[LabelChoice]:
    names, count = model.class_names, model.config.label_dim
    if text in names or count == 0:
        return []
    if text == ALL_CLASSES:
        return [*(names or range(count))]
    words = [word.strip() for word in text.split(",")]
    ranges = {word: match for word in words if word not in names and (match := re.fullmatch(r"(\d+)-(\d+)", word))}
    if len(words) == 1 and not ranges:
        return []
    if not (any(word in names for word in words) or all(word.isdecimal() or word in ranges for word in words)):
        return []  # a label vector, or nothing that is known
    found: list[LabelChoice] = []
    for word in words:
        if word in ranges:
            first, last = map(int, ranges[word].groups())
            found += range(first, min(last, count) + 1)  # one above the last class is refused with its number
        else:
            found.append(int(word) if word.isdecimal() and word not in names else word)
    return found


def _parsed_label(model: Model, text: str) -> int | Sequence[float]:
    """The class number or vector that ``text`` stands for; names come first, since they may look like numbers."""
    if text in model.class_names:
        return model.class_names.index(text)
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) > 1 and all(word.strip().isdecimal() for word in text.split(",")):
        raise UsageError(
            f"{text!r} names {len(values)} classes, and one is needed here. The numbers of a label vector are written "
            f"with points: {','.join(f'{value:.1f}' for value in values[:4])}{',...' if len(values) > 4 else ''}"
        )
    is_class = len(values) == 1 and model.config.label_dim != 1
    if (
        not values
        or not all(math.isfinite(value) for value in values)
        or (is_class and not (values[0] >= 0 and values[0].is_integer()))
    ):
        known = "" if model.class_names or not any(map(str.isalpha, text)) else ": its file has no class names"
        near = did_you_mean(text, model.class_names).partition(" Allowed")[0]
        guess = f"{near} " if near.startswith("Did you mean") else ""
        raise UsageError(f"{text!r} is not a class of this model{known}. {guess}{_allowed_labels(model)}")
    return int(values[0]) if is_class else values


def _allowed_labels(model: Model) -> str:
    names, length = model.class_names, model.config.label_dim
    if length == 1:
        return "Allowed: one number."
    named = f" ({name_list(names)})" if names else ""
    vector = f"a label vector of {length} numbers (0.2,0.8,...)"
    lists = f"{RANDOM_CLASS}, {ALL_CLASSES}{', or several names with commas' if names else ''}"
    return f"Allowed: a class number from 0 to {length - 1}{named}, {vector}, or for seeds: {lists}."
