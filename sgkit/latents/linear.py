"""How directions are found: closed forms and small solvers, on tensors.

- :func:`sefa`: Shen and Zhou 2021, "Closed-form factorization of latent semantics in GANs".
- :func:`principal`, :func:`regressed`: Harkonen et al. 2020, "GANSpace".
- :func:`boundary`: a linear classifier's normal, as in Shen et al. 2020, "Interpreting the latent space of GANs".
- :func:`style_ranking`: Wu et al. 2021, "StyleSpace analysis".
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sgkit.errors import UsageError
from sgkit.latents.directions import fixed_sign
from sgkit.model import Model

MOST_FEATURES = 1 << 28
"""Numbers that one analysis may hold: 1 GiB."""


class Found(NamedTuple):
    """Directions of length 1 and what each explains."""

    vectors: Tensor
    """[K, D], float64."""
    explained: Tensor
    """[K]: shares of the whole."""
    deviations: Tensor
    """[K]: of the samples along each; for SeFa, square roots of eigenvalues."""


# --------------------------------------------------------------------------------------------------- SeFa


def style_weight(layer: nn.Module, w_dim: int, at: Tensor) -> Tensor:
    """What a layer's style is multiplied from w with: [S, w_dim], float64.

    Exact for affine styles, whatever their layer; of styles that are not (self-modulated networks), the derivative at
    the w called ``at`` [w_dim].
    """
    style: Any = copy.deepcopy(layer).double().style  # differences of single precision would lose digits
    at, steps = at.double(), torch.eye(w_dim, device=at.device, dtype=torch.float64)
    with torch.no_grad():
        weight: Tensor = (style(at + steps) - style(at[None])).t()
        if torch.allclose(weight, 2 * (style(at + 0.5 * steps) - style(at[None])).t(), rtol=1e-9, atol=1e-9):
            return weight
    with torch.enable_grad():
        jacobian: Any = torch.autograd.functional.jacobian
        found: Tensor = jacobian(lambda w: style(w[None])[0], at.clone())
    return found


def model_weights(model: Model, layers: Sequence[int] | None) -> list[Tensor]:
    """:func:`style_weight` of every layer that a w of ``layers`` drives (``None``: all)."""
    synthesis, at = model.generator.synthesis, model.generator.mapping.w_avg
    return [
        style_weight(synthesis.layer(spec.name), model.config.w_dim, at)
        for spec in synthesis.plan
        if spec.style_index is not None and (layers is None or spec.style_index in layers)
    ]


def sefa(weights: Sequence[Tensor], count: int, *, normalize: bool = True) -> Found:
    """The ``count`` directions n of unit length for which A n is longest: eigenvectors of A^T A (equation 5).

    Args:
        weights: of the chosen layers, each [S, D]; A is all of them, one below the other.
        count: how many.
        normalize: bring every row of A to length 1 first, as the authors' code does, so that no channel counts more.
    """
    a = torch.cat([weight.double() for weight in weights])
    if normalize:
        lengths = a.norm(dim=1, keepdim=True)
        a = a / torch.where(lengths > 0, lengths, 1.0)
    values, vectors = torch.linalg.eigh(a.t() @ a)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1).t()
    count = min(count, len(values))
    return Found(fixed_sign(vectors[:count]), (values / values.sum())[:count], values[:count].sqrt())


# ------------------------------------------------------------------------------------------------ GANSpace


def principal(rows: Tensor, count: int) -> Found:
    """The ``count`` principal axes of ``rows`` [N, D], by the smaller of the matrices [D, D] and [N, N]."""
    x = rows.double() - rows.double().mean(dim=0)
    n, d = x.shape
    if d <= n:
        values, vectors = torch.linalg.eigh(x.t() @ x)
        vectors = vectors.flip(1).t()
    else:
        values, sides = torch.linalg.eigh(x @ x.t())
        vectors = sides.flip(1).t() @ x
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-30)
    values = values.flip(0).clamp(min=0)
    count = min(count, len(values), n - 1)
    kept = values[:count]
    return Found(fixed_sign(vectors[:count]), kept / values.sum().clamp(min=1e-30), (kept / (n - 1)).sqrt())


def regressed(features: Tensor, latents: Tensor, count: int) -> Found:
    """Directions of ``latents`` [N, D] that move along the principal axes of ``features`` [N, F] (section 2.2).

    With x_j the coordinates of sample j on the axes, U minimises sum_j |U x_j - z_j|^2. Its columns, of the length that
    one deviation of a coordinate moves, are returned: unit vectors, and those lengths as deviations.
    """
    axes = principal(features, count)
    x = (features.double() - features.double().mean(dim=0)) @ axes.vectors.t()
    solution = torch.linalg.lstsq(x, latents.double() - latents.double().mean(dim=0)).solution  # [K, D]
    moves = solution * axes.deviations[:, None]
    lengths = moves.norm(dim=1)
    return Found(moves / lengths[:, None].clamp(min=1e-30), axes.explained, lengths)


# ------------------------------------------------------------------------------------------------ boundary


class Boundary(NamedTuple):
    """A linear model of an attribute."""

    normal: Tensor
    """[D], of length 1, towards the positive side."""
    score: float
    """On samples that it was not fitted to: accuracy for two classes, correlation for numbers."""
    chance: float
    """The score of guessing: the larger class's share, or 0."""


def boundary(rows: Tensor, labels: Tensor, *, l2: float = 1.0, seed: int = 0, held_out: float = 0.2) -> Boundary:
    """The normal of the boundary between two classes of ``rows`` [N, D]; or, for other numbers, of steepest rise.

    Logistic regression with a penalty for labels 0 and 1, ridge regression for others; fitted to all rows, scored on
    a part that a first fit left out.

    Raises:
        UsageError: there are too few rows, or all labels are alike.
    """
    x, y = rows.double().cpu().numpy(), labels.double().cpu().numpy()
    values = set(np.unique(y).tolist())
    is_class = values <= {0.0, 1.0}
    if len(y) < 10 or len(values) < 2:
        raise UsageError(
            f"A boundary needs at least 10 examples with two different labels; {len(y)} with {len(values)} were given. "
            "Give more labels, or more --samples."
        )
    fit = classifier if is_class else ridge
    order = np.random.RandomState(seed).permutation(len(y))
    test, train = np.split(order, [max(int(len(y) * held_out), 1)])
    weights, bias = fit(x[train], y[train], l2=l2)
    guess = x[test] @ weights + bias
    if is_class:
        score = float(((guess > 0) == (y[test] > 0.5)).mean())
        chance = float(max(y.mean(), 1 - y.mean()))
    else:
        spread = guess.std() * y[test].std()
        score = float(((guess - guess.mean()) * (y[test] - y[test].mean())).mean() / spread) if spread > 0 else 0.0
        chance = 0.0
    normal = torch.from_numpy(fit(x, y, l2=l2)[0])
    return Boundary(normal / normal.norm().clamp(min=1e-30), score, chance)


Array = np.ndarray[Any, Any]


def logistic(x: Array, y: Array, *, l2: float) -> tuple[Array, float]:
    """Weights [D] and bias that minimise mean log(1 + exp(-t (w x + b))) + l2/2 |w|^2, t = 2 y - 1.

    ``x`` is brought to a common scale, the same for every dimension, so that the normal is not turned by it.
    """
    from scipy.optimize import minimize

    centre = x.mean(axis=0)
    scale = max(float(np.sqrt(((x - centre) ** 2).mean())), 1e-12)
    data, signs = (x - centre) / scale, 2 * y - 1

    def loss(theta: Array) -> tuple[float, Array]:
        margin = signs * (data @ theta[:-1] + theta[-1])
        pull = -signs * np.exp(-np.logaddexp(0, margin)) / len(y)
        gradient = np.append(data.T @ pull + l2 * theta[:-1], pull.sum())
        return float(np.logaddexp(0, -margin).mean() + 0.5 * l2 * (theta[:-1] ** 2).sum()), gradient

    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    theta = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options=options).x
    weights = theta[:-1] / scale
    return weights, float(theta[-1] - weights @ centre)


def classifier(x: Array, y: Array, *, l2: float) -> tuple[Array, float]:
    """:func:`logistic`, its threshold found again along the normal: the penalty shortens weights, but not the bias."""
    weights, _ = logistic(x, y, l2=l2)
    slope, bias = logistic((x @ weights)[:, None], y, l2=1e-6)
    return weights * slope[0], bias


def ridge(x: Array, y: Array, *, l2: float) -> tuple[Array, float]:
    """Weights [D] and bias that minimise mean (w x + b - y)^2 + l2 |w|^2, on ``x`` scaled as in :func:`logistic`."""
    centre = x.mean(axis=0)
    scale = max(float(np.sqrt(((x - centre) ** 2).mean())), 1e-12)
    data = (x - centre) / scale
    matrix = data.T @ data / len(y) + l2 * np.eye(x.shape[1])
    weights = np.linalg.solve(matrix, data.T @ (y - y.mean()) / len(y)) / scale
    return weights, float(y.mean() - weights @ centre)


# ---------------------------------------------------------------------------------------------- StyleSpace


class Ranking(NamedTuple):
    """Channels of s, the best first."""

    channels: list[tuple[str, int]]
    """Layer and channel."""
    scores: Tensor
    """[K], falling."""
    signs: Tensor
    """[K]: 1 where raising the channel raises the attribute, -1 where lowering does."""


def style_ranking(every: Mapping[str, Tensor], chosen: Mapping[str, Tensor]) -> Ranking:
    """All channels, ranked by how reliably the ``chosen`` latents differ in them from the population (section 5).

    With the mean and deviation of a channel over the population, d = (s - mean) / deviation for each chosen latent; the
    score is |mean of d| / deviation of d.

    Args:
        every: layer -> styles [N, C] of the population.
        chosen: layer -> styles [M, C] of latents with the attribute, M of 2 or more.
    """
    scores, signs, channels = [], [], []
    for layer, styles in every.items():
        mean, deviation = styles.double().mean(dim=0), styles.double().std(dim=0)
        d = (chosen[layer].double() - mean) / deviation.clamp(min=1e-12)
        d = torch.where(deviation > 1e-12, d, 0.0)
        scores.append(d.mean(dim=0).abs() / d.std(dim=0).clamp(min=1e-12))
        signs.append(torch.where(d.mean(dim=0) < 0, -1.0, 1.0))
        channels += [(layer, channel) for channel in range(styles.shape[1])]
    return ranked(channels, torch.cat(scores), torch.cat(signs))


def ranked(channels: Sequence[tuple[str, int]], scores: Tensor, signs: Tensor) -> Ranking:
    """The channels by falling score; equal ones in the order given."""
    order = torch.argsort(scores, descending=True, stable=True)
    return Ranking([channels[int(index)] for index in order], scores[order], signs[order])


def locality(before: Tensor, after: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """How much of what changed between images is inside a mask.

    Args:
        before: images [N, C, H, W].
        after: the same after a change.
        mask: [H, W], 0 to 1.

    Returns:
        The share of the squared change that is inside, over all images; and the mean squared change inside.
    """
    change = (after.double() - before.double()).square().sum(dim=1)
    inside = (change * mask.double()).sum()
    return inside / change.sum().clamp(min=1e-30), inside / (len(before) * mask.double().sum().clamp(min=1e-30))
