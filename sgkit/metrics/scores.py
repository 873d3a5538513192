"""The Inception score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgkit.errors import InputError


def inception_score(
    logits: NDArray[np.float32], *, num_splits: int = 10, shuffle_seed: int | None = None
) -> tuple[float, float]:
    """Mean and standard deviation over splits of ``exp(E KL(p(y|x) || p(y)))``, for logits [N, classes].

    Salimans et al., "Improved techniques for training GANs", 2016. Splits are parts of the images in their order, as in
    NVIDIA's tools, or in an order drawn by ``shuffle_seed``, as in torch-fidelity (2020); probabilities are float64.

    Raises:
        InputError: there are fewer images than splits.
    """
    num = len(logits)
    if num < num_splits:
        raise InputError(f"The Inception score needs at least {num_splits} images, one for each split; given: {num}.")
    if shuffle_seed is not None:  # images of one folder are often sorted by class
        logits = logits[np.random.RandomState(shuffle_seed).permutation(num)]
    scores = []
    for split in range(num_splits):
        part = logits[num * split // num_splits : num * (split + 1) // num_splits].astype(np.float64)
        shifted = part - part.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        marginal = p.mean(axis=0)
        used = marginal > 0  # a class that no image has adds 0, not 0 times infinity
        divergence = (p[:, used] * (log_p[:, used] - np.log(marginal[used]))).sum(axis=1)
        scores.append(np.exp(divergence.mean()))
    return float(np.mean(scores)), float(np.std(scores))
