"""Linear heads fitted to features: multinomial logistic regression with a penalty that held-out images choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.metrics.image_classifier import Head, HeadInfo

PENALTIES = (1e-3, 1e-2, 1e-1)
HELD_OUT, VALIDATION = 0.2, 0.2
FEWEST = 6


def fit_head(
    features: NDArray[np.float32],
    answers: NDArray[np.int64],
    *,
    name: str,
    classes: Sequence[str],
    seed: int = 0,
) -> Head:
    """The head of one attribute, from ``features`` [N, dim] and the number of each image's class [N].

    A fifth of the images is held out for the accuracy; of the others a fifth chooses the penalty. Then the head is
    fitted to all but the held-out ones.

    Raises:
        UsageError: there are too few images, or all are of one class.
    """
    present = len(np.unique(answers))
    if len(answers) < FEWEST or present < 2:
        raise UsageError(
            f"The attribute {name!r} has {len(answers)} labelled images of {present} different classes; a classifier "
            f"needs {FEWEST} or more, of 2 classes or more. Use a store with more labels."
        )
    order = np.random.RandomState(seed).permutation(len(answers))
    held_out, rest = np.split(order, [int(len(order) * HELD_OUT)])
    validation, train = np.split(rest, [int(len(rest) * VALIDATION)])
    data = torch.from_numpy(features).double()
    mean, deviation = data[rest].mean(dim=0), data[rest].std(dim=0).clamp(min=1e-6)
    data, targets = (data - mean) / deviation, torch.from_numpy(answers)
    scores = []
    for penalty in PENALTIES:
        weight, bias = _fit(data[train], targets[train], len(classes), penalty)
        scores.append(_accuracy(data[validation], targets[validation], weight, bias))
    best = PENALTIES[int(np.argmax(scores))]
    weight, bias = _fit(data[rest], targets[rest], len(classes), best)
    info = HeadInfo(
        name=name,
        classes=tuple(classes),
        accuracy=_accuracy(data[held_out], targets[held_out], weight, bias),
        chance=float(np.bincount(answers[held_out], minlength=len(classes)).max() / len(held_out)),
        num_images=len(rest),
        num_held_out=len(held_out),
    )
    weight = weight / deviation
    bias = bias - weight @ mean
    return Head(info=info, weight=weight.float().numpy(), bias=bias.float().numpy())


def _accuracy(data: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> float:
    return float(((data @ weight.T + bias).argmax(dim=1) == targets).double().mean())


def _fit(data: Tensor, targets: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight [classes, dim] and bias [classes] with the least mean cross entropy plus ``penalty / 2 |weight|^2``."""
    from scipy.optimize import minimize

    dim = data.shape[1]

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        values = torch.from_numpy(theta).reshape(classes, dim + 1)
        weight, bias = values[:, :dim], values[:, dim]
        logits = data @ weight.T + bias
        cross = torch.nn.functional.cross_entropy(logits, targets)
        pull = torch.softmax(logits, dim=1)
        pull[torch.arange(len(targets)), targets] -= 1
        pull /= len(targets)
        gradient = torch.cat([pull.T @ data + penalty * weight, pull.sum(dim=0)[:, None]], dim=1)
        return float(cross + penalty / 2 * weight.square().sum()), gradient.reshape(-1).numpy()

    options: dict[str, Any] = {"maxiter": 300, "gtol": 1e-5}
    start = np.zeros(classes * (dim + 1))
    found = torch.from_numpy(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x)
    found = found.reshape(classes, dim + 1)
    return found[:, :dim], found[:, dim]
