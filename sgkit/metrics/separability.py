"""Linear separability: how well hyperplanes in latent space tell apart what a classifier sees in the images.

Karras et al., "A style-based generator architecture for generative adversarial networks", 2019, section 4.2: exp of the
sum over attributes of H(Y | X), where Y is the classifier's answer and X that of a linear support vector machine on the
latents, for the samples of which the classifier is surest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgkit.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
NUM_SAMPLES, NUM_KEPT = 200_000, 100_000
"""Of the paper: images that are classified, and those of each attribute that a hyperplane is fitted to."""


@dataclass(frozen=True, kw_only=True)
class AttributeSeparability:
    """One attribute in one latent space."""

    name: str
    entropy: float
    """H(Y | X) in nats."""
    accuracy: float
    """Share of the kept samples that the hyperplane has right."""
    counts: tuple[int, ...]
    """Kept samples of each class."""


@dataclass(frozen=True, kw_only=True)
class Separability:
    """Result of :func:`separability` for one latent space; 1 is the best score."""

    score: float
    attributes: tuple[AttributeSeparability, ...]


def conditional_entropy(given: Integers, targets: Integers, *, num_classes: int) -> float:
    """H(targets | given) in nats, 0 or more, of classes [N] below ``num_classes``."""
    joint = np.zeros((num_classes, num_classes))
    np.add.at(joint, (given, targets), 1.0)
    joint /= joint.sum()
    condition = np.broadcast_to(joint.sum(axis=1, keepdims=True), joint.shape)
    there = joint > 0
    return max(float(-(joint[there] * np.log(joint[there] / condition[there])).sum()), 0.0)


def linear_svm(x: Floats, y: NDArray[np.bool_], *, c: float = 1.0) -> Floats:
    """Weights [D + 1], the last one the bias, of a linear support vector machine for two classes.

    Minimises ``|w|^2 / 2 + c sum max(0, 1 - t (w x + b))^2`` with t = 1 where ``y``, else -1, and the bias among w: the
    objective that scikit-learn's LinearSVC (liblinear) minimises by default, here in the primal by a trust-region
    Newton method (Chapelle, "Training a support vector machine in the primal", 2007).
    """
    from scipy.optimize import minimize

    data = np.hstack([x, np.ones((len(x), 1))])
    signs = np.where(y, 1.0, -1.0)

    def slack(w: Floats) -> Floats:
        found: Floats = np.maximum(1 - signs * (data @ w), 0)
        return found

    def loss(w: Floats) -> tuple[float, Floats]:
        missing = slack(w)
        return float(w @ w / 2 + c * missing @ missing), w - 2 * c * (data.T @ (signs * missing))

    def hessian(w: Floats) -> Floats:
        active = data[slack(w) > 0]
        found: Floats = np.eye(len(w)) + 2 * c * (active.T @ active)
        return found

    options = {"gtol": 1e-6 * max(len(x), 1), "maxiter": 200}
    found = minimize(loss, np.zeros(data.shape[1]), jac=True, hess=hessian, method="trust-exact", options=options)
    weights: Floats = found.x
    return weights


def predicted(x: Floats, targets: Integers, *, num_classes: int) -> Integers:
    """Classes [N] that linear support vector machines, fitted to ``x`` [N, D] and ``targets`` [N], give ``x``.

    One machine tells two classes apart. Of more classes each has its own, against all others, and the highest wins.
    """
    data = np.hstack([x, np.ones((len(x), 1))])
    if num_classes == 2:
        return (data @ linear_svm(x, targets == 1) > 0).astype(np.int64)
    present = np.unique(targets)
    margins = np.stack([data @ linear_svm(x, targets == number) for number in present], axis=1)
    found: Integers = present[margins.argmax(axis=1)]
    return found


def separability(
    latents: Mapping[str, Floats], answers: Mapping[str, Floats], *, keep: int = NUM_KEPT
) -> dict[str, Separability]:
    """Name of a latent space -> how separable attributes are in it.

    Args:
        latents: space -> [N, D].
        answers: attribute -> probabilities of its classes [N, classes], as the classifier gives them.
        keep: samples of which the classifier is surest that are used, for each attribute.

    Raises:
        InputError: there are no attributes, or numbers are not finite.
    """
    if not answers:
        raise InputError("Linear separability needs a classifier with at least one attribute; it has none.")
    if not all(np.isfinite(values).all() for values in (*latents.values(), *answers.values())):
        raise InputError("Latents or the classifier's answers contain NaN or infinity: the model is broken.")
    rows: dict[str, list[AttributeSeparability]] = {space: [] for space in latents}
    for name, probabilities in answers.items():
        surest = np.argsort(-probabilities.max(axis=1), kind="stable")[:keep]
        targets, classes = probabilities[surest].argmax(axis=1), probabilities.shape[1]
        counts = tuple(int(count) for count in np.bincount(targets, minlength=classes))
        for space, values in latents.items():
            # Where every answer is the same there is nothing to tell apart, and nothing left to know.
            same = len(np.unique(targets)) < 2
            given = targets if same else predicted(values[surest], targets, num_classes=classes)
            entropy = conditional_entropy(given, targets, num_classes=classes)
            accuracy = float((given == targets).mean())
            rows[space].append(AttributeSeparability(name=name, entropy=entropy, accuracy=accuracy, counts=counts))
    return {space: Separability(score=_score(found), attributes=tuple(found)) for space, found in rows.items()}


def _score(attributes: Sequence[AttributeSeparability]) -> float:
    return float(np.exp(sum(one.entropy for one in attributes)))
