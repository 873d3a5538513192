"""Directions that need no labels: SeFa, GANSpace, and differences of latents or classes."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.latents.directions import Directions
from sgkit.latents.linear import MOST_FEATURES, model_weights, principal, regressed, sefa
from sgkit.latents.sources import read_origins
from sgkit.latents.spaces import to_ws
from sgkit.model.labels import label_vector, seed_label
from sgkit.render.drawing import DrawSettings, drawing
from sgkit.render.features import feature_layer, features_at
from sgkit.runtime.progress import Progress
from sgkit.tasks.directions.job import ARBITRARY, Job


def find_sefa(job: Job) -> Directions:
    """Eigenvectors of the affine weights of the chosen layers."""
    space, rows = job.latent_rows()
    weights = [weight[:, : rows.shape[1]] for weight in model_weights(job.model, job.layers())]
    found = sefa(weights, job.settings.count, normalize=job.settings.normalize)
    measure = "share of the eigenvalues' sum"
    return job.numbered(space, found, rows, measure, normalize=job.settings.normalize)


def find_pca(job: Job) -> Directions:
    """Principal components of w, or of features, regressed to latents."""
    settings = job.settings
    if settings.features is None:
        if job.in_z:
            raise UsageError(
                "This model has no mapping network: its latents vary alike in every direction, so their principal "
                "components mean nothing. Analyse features instead, for example --features 8px."
            )
        space, rows = job.latent_rows()
        return job.numbered(space, principal(rows, settings.count), rows, "share of the variance of w")
    z, label = job.z()
    ws = job.ws(z, label)
    layer = feature_layer(job.model, settings.features)
    size = layer.out_channels * layer.pixels**2
    if size * len(ws) > MOST_FEATURES:
        most = MOST_FEATURES // size
        raise UsageError(
            f"Features of {layer.name} have {size:,} numbers for each image: {len(ws):,} of them do not fit in 1 GiB. "
            f"Use --samples {most} or fewer, or an earlier layer."
        )
    features: list[Tensor] = []
    for part in features_at(job.model, ws, layer):
        features.append(part.flatten(1))
        done = sum(map(len, features))
        job.on_progress(Progress(done=done, total=len(ws), unit="images", stage="computing features"))
    rows = z if job.in_z else ws[:, 0]
    if settings.count >= len(rows):
        raise UsageError(f"{settings.count} directions need more than {len(rows)} samples: use --samples.")
    found = regressed(torch.cat(features), rows, settings.count)
    measure = f"share of the variance of features at {layer.name}"
    return job.made(
        "z" if job.in_z else "w",
        found.vectors,
        found.deviations,
        names=tuple(map(str, range(len(found.vectors)))),
        signs=(ARBITRARY + " in feature space",) * len(found.vectors),
        explained=found.explained,
        settings=job.facts(measure=measure, features=layer.name),
    )


def find_difference(job: Job) -> Directions:
    """The mean of some latents minus the mean of others."""
    if isinstance(job.plus, (str, int)) or isinstance(job.minus, (str, int)):
        return _class_difference(job)
    means, spaces = [], set()
    for side, name in ((job.plus, "--plus"), (job.minus, "--minus")):
        origins = list(read_origins(side, job.model))
        if not origins:
            raise UsageError(
                f"A difference needs latents on both sides: {name} is missing. Give seeds or latent files to both, or "
                "two classes: --plus-class NAME --minus-class NAME."
            )
        on = drawing(job.inputs, DrawSettings(label=job.settings.label))
        found = []
        for origin in origins:
            if origin.latents is None:
                assert origin.seed is not None
                z = job.model.sample_z([origin.seed])
                label = seed_label(job.model, job.settings.label, origin.seed)
                found.append(z if job.in_z else job.model.map(z, label))
            elif job.in_z and origin.space == "z":
                found.append(origin.latents[origin.index].only)
            else:
                found.append(to_ws(origin.latents[origin.index], on.model))
        kinds = {one.ndim for one in found}
        spaces |= {"z" if kinds == {2} else "w"}
        means.append(torch.cat(found).double().mean(dim=0))
    if len(spaces) > 1:
        raise UsageError("One side is of z, the other of w: they have no difference. Give latents of one space.")
    delta = (means[0] - means[1]).float()
    sign = "from the mean of --minus to the mean of --plus"
    return _whole_difference(job, delta, spaces.pop(), job.settings.name or "difference", sign)


def _class_difference(job: Job) -> Directions:
    if not (job.plus != () and job.minus != ()):
        raise UsageError("A difference of classes needs two: give --plus-class and --minus-class.")
    if job.in_z:
        raise UsageError(
            "This model has no mapping network, so its directions are of z, which is the same for every class. Give "
            "seeds or latents: --plus LIST --minus LIST."
        )
    z = job.model.sample_z(job.seeds())
    sides = []
    for choice in (job.plus, job.minus):
        label = label_vector(job.model, choice)
        assert label is not None
        sides.append(job.ws(z, label.expand(len(z), -1)).double().mean(dim=0))
    name = job.settings.name or f"{job.plus}"
    sign = f"from {job.minus} to {job.plus}"
    return _whole_difference(job, (sides[0] - sides[1]).float(), "w", name, sign, plus=job.plus, minus=job.minus)


def _whole_difference(job: Job, delta: Tensor, space: str, name: str, sign: str, **facts: Any) -> Directions:
    """The direction whose strength 1 is all of ``delta`` [D] or [num_ws, D]."""
    kind: Literal["z", "w", "w+"] = "z" if space == "z" else "w+"
    if delta.ndim == 2 and torch.allclose(delta, delta[:1].expand_as(delta), rtol=1e-5, atol=1e-7):
        kind, delta = "w", delta[0]
    return job.made(kind, delta[None], None, names=(name,), signs=(sign,), settings=job.facts(measure="", **facts))
