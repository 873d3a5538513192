"""The metrics that compare features: each turns the statistics of :class:`MetricInputs` into scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sgkit.errors import InputError
from sgkit.metrics import duplicates as repeated
from sgkit.metrics import identity, prd, uncertainty
from sgkit.metrics.distances import SUBSET_SIZE, frechet_distance, kernel_distance
from sgkit.metrics.manifold import precision_recall as manifold_precision_recall
from sgkit.metrics.scores import inception_score as score_of_logits
from sgkit.metrics.statistics import Gaussian
from sgkit.metrics.values import MetricInputs, Score


def frechet(inputs: MetricInputs) -> Score:
    """The squared Fréchet distance; the parameter ``ddof`` is 0 where covariances are divided by N (default: 1)."""
    sides = []
    for side in (inputs.of_measured("gaussian"), inputs.of_data("gaussian")):
        sides.append(_divided(side, int(inputs.parameter("ddof", 1))))
    found = frechet_distance(*sides)
    notes = []
    for side, name in zip(sides, ("images", "reference images"), strict=True):
        if not side.covariance.any():
            notes.append(f"no variance: the {name} are all the same")
        if 0 < side.num <= side.mean.size:
            notes.append(f"singular covariance: {side.num:,} {name} for {side.mean.size:,} features")
    return Score(value=found, notes=tuple(notes))


def _divided(given: Gaussian, ddof: int) -> Gaussian:
    if ddof == 1 or given.num == 0:
        return given
    return replace(given, covariance=given.covariance * ((given.num - 1) / (given.num - ddof)))


def kernel(inputs: MetricInputs) -> Score:
    """The kernel distance over random subsets."""
    found = kernel_distance(
        inputs.of_measured("bank"),
        inputs.of_data("bank"),
        num_subsets=int(inputs.parameter("num_subsets", 100)),
        subset_size=int(inputs.parameter("subset_size", SUBSET_SIZE)),
        seed=inputs.seed,
    )
    wanted = int(inputs.parameter("subset_size", SUBSET_SIZE))
    notes = (f"subsets of {found.subset_size:,} instead of {wanted:,}",) if found.subset_size < wanted else ()
    return Score(value=found.mean, std=found.std, std_of="subsets", notes=notes)


def precision_recall(inputs: MetricInputs) -> tuple[Score, Score]:
    """Precision and recall by the k nearest neighbours (Kynkäänniemi et al., 2019)."""
    found = manifold_precision_recall(
        inputs.of_data("bank"),
        inputs.of_measured("bank"),
        neighbours=int(inputs.parameter("neighbours", 3)),
        half=inputs.parameter("dtype", "float64") == "float16",
    )
    return Score(value=found.precision), Score(value=found.recall)


def inception_score(inputs: MetricInputs) -> Score:
    """The Inception score over splits, in the order of the images or one drawn by ``shuffle_seed``."""
    bank = inputs.of_measured("bank")
    classify = getattr(inputs.extractor, "logits", None)
    if classify is None:
        raise InputError(f"The network {inputs.row.network!r} has no classes, which {inputs.row.name} needs.")
    shuffle = int(inputs.parameter("shuffle_seed", -1))
    mean, std = score_of_logits(
        np.asarray(classify(bank)),
        num_splits=int(inputs.parameter("num_splits", 10)),
        shuffle_seed=None if shuffle < 0 else shuffle,
    )
    return Score(value=mean, std=std, std_of="splits")


def frechet_infinity(inputs: MetricInputs) -> Score:
    """The Fréchet distance for infinitely many measured images, with the distances of fewer."""
    found = uncertainty.frechet_infinity(
        inputs.of_measured("bank"),
        inputs.of_data("gaussian"),
        num_points=int(inputs.parameter("num_points", 15)),
        seed=inputs.seed,
    )
    details = {"counts": list(found.counts), "values": list(found.values)}
    return Score(value=found.value, std=found.std, std_of="fitted line", details=details)


def precision_recall_curve(inputs: MetricInputs) -> tuple[Score, Score]:
    """F8 (recall) and F1/8 (precision) of the curve of precision and recall, and the curve."""
    curve = prd.precision_recall_curve(
        inputs.of_data("bank"),
        inputs.of_measured("bank"),
        num_clusters=int(inputs.parameter("num_clusters", 20)),
        num_runs=int(inputs.parameter("num_runs", 10)),
        seed=inputs.seed,
    )
    shown = slice(None, None, 20)  # enough to draw it
    details = {"recall": curve.recall[shown].tolist(), "precision": curve.precision[shown].tolist()}
    return Score(value=curve.f_score(8), details=details), Score(value=curve.f_score(1 / 8))


def duplicates(inputs: MetricInputs) -> Score:
    """The share of measured images that another one is nearly the same as, and the nearest pairs."""
    quantile = float(inputs.parameter("quantile", 0.01))
    found = repeated.duplicates(inputs.of_measured("bank"), inputs.of_data("bank"), quantile=quantile, seed=inputs.seed)
    return Score(value=found.share, details={"limit": found.limit, "pairs": [list(pair) for pair in found.pairs]})


def pair_distance(inputs: MetricInputs) -> Score:
    """The mean distance between the face of each measured image and that of its reference image.

    Raises:
        InputError: the two sides have different numbers of images.
    """
    images, data = inputs.of_measured("bank"), inputs.of_data("bank")
    if len(images) != len(data):
        raise InputError(
            f"{inputs.row.name} compares pairs, but there are {len(images):,} images and {len(data):,} reference "
            "images. Give as many of both."
        )
    one, other = (identity.Faces.of_features(bank) for bank in (images, data))
    distances = np.linalg.norm(one.descriptors - other.descriptors, axis=1)
    same = float((distances < identity.SAME_PERSON).mean())
    return Score(
        value=float(distances.mean()),
        std=float(distances.std(ddof=1) / np.sqrt(len(distances))) if len(distances) > 1 else None,
        std_of="mean",
        notes=one.notes("images") + other.notes("reference images"),
        details={"same_person": same, "distances": distances.tolist()},
    )


def mean_distance(inputs: MetricInputs) -> Score:
    """The mean distance between the faces of all pairs of measured images."""
    faces = identity.Faces.of_features(inputs.of_measured("bank"))
    mean, same = identity.within(faces.descriptors)
    return Score(value=mean, notes=faces.notes("images"), details={"same_person": same})
