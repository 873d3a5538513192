"""Directions from labels: linear boundaries, and channels of s ranked by an attribute or by where they act."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.latents.directions import Directions, unit
from sgkit.latents.linear import Ranking, boundary, locality, ranked, style_ranking
from sgkit.latents.sources import read_origins
from sgkit.latents.spaces import to_ws
from sgkit.measure.attributes import clear_examples, fit_classifier, values_of
from sgkit.model import Canvas
from sgkit.render.drawing import DrawSettings, drawing
from sgkit.render.generate import generate
from sgkit.render.moves import Channel
from sgkit.render.render import render
from sgkit.render.scene import Scene
from sgkit.render.shapes import mask_of
from sgkit.runtime.progress import Progress
from sgkit.tasks.directions.job import Job

AMOUNT = 3.0
"""Deviations by which a channel is moved to see what it changes."""


@dataclass(frozen=True)
class Examples:
    """Latents with an attribute's values."""

    name: str
    rows: Tensor
    """z or w [N, D]."""
    ws: Tensor
    """w+ [N, num_ws, w_dim]."""
    values: Tensor
    facts: dict[str, Any]


def examples_of(job: Job) -> Examples:
    """Latents with the values of the attribute that labels tell of.

    Raises:
        UsageError: there are no labels.
    """
    if job.labels is None:
        raise UsageError(
            f"Method {job.settings.method} needs labels: give a store with labels (--labels STORE), or a table of "
            "labels and the latents that it names (--labels FILE.csv --latent FOLDER)."
        )
    if job.labels.is_dir():
        return _from_store(job, job.labels)
    origins = list(read_origins(job.latents, job.model))
    if not origins:
        raise UsageError(
            f"{job.labels} is a table of labels: give the latents that it names with --latent, for example a folder of "
            "projections (sgkit project MODEL IMAGES --out FOLDER)."
        )
    attribute, values = values_of([origin.name for origin in origins], job.labels, job.settings.attribute)
    on = drawing(job.inputs, DrawSettings(label=job.settings.label))
    kept = [(origin, value) for origin, value in zip(origins, values, strict=True) if value is not None]
    ws, rows = [], []
    for origin, _ in kept:
        assert origin.latents is not None
        latents = origin.latents[origin.index]
        if job.in_z and latents.space == "z":
            rows.append(latents.only)
        ws.append(to_ws(latents, on.model))
    every = torch.cat(ws)
    found = torch.cat(rows) if len(rows) == len(ws) else every.mean(dim=1)
    facts = {"labels": str(job.labels), "attribute": attribute.name, "examples": len(kept)}
    return Examples(attribute.name, found, every, torch.tensor([value for _, value in kept]), facts)


def _from_store(job: Job, store: Path) -> Examples:
    classifier = fit_classifier(store, job.settings.attribute, on_progress=job.on_progress)
    z, label = job.z()
    ws = job.ws(z, label)
    scores: list[Tensor] = []
    images: list[Tensor] = []
    pictures = generate(job.inputs, job.seeds(), DrawSettings(label=job.any_class()), batch=16)
    for done, picture in enumerate(pictures, start=1):
        images.append(torch.from_numpy(picture.pixels).permute(2, 0, 1)[:3])
        if len(images) == 32 or done == len(z):
            scores.append(classifier(torch.stack(images)))
            images.clear()
        job.on_progress(Progress(done=done, total=len(z), unit="images", stage="labelling generated images"))
    picked, values = clear_examples(torch.cat(scores), is_class=classifier.attribute.is_class)
    facts = {
        "labels": str(store),
        "attribute": classifier.attribute.name,
        "classifier_score": round(classifier.score, 4),
        "classifier_chance": round(classifier.chance, 4),
        "examples": len(picked),
    }
    rows = z if job.in_z else ws[:, 0]
    return Examples(classifier.attribute.name, rows[picked], ws[picked], values, facts)


def find_boundary(job: Job) -> Directions:
    """The normal of the boundary between latents with and without an attribute."""
    examples = examples_of(job)
    found = boundary(examples.rows.cpu(), examples.values, seed=job.settings.seed)
    deviation = (examples.rows.double().cpu() @ found.normal).std()
    facts = {**examples.facts, "boundary_score": round(found.score, 4), "boundary_chance": round(found.chance, 4)}
    return job.made(
        "z" if job.in_z else "w",
        found.normal[None],
        deviation[None],
        names=(job.settings.name or examples.name,),
        signs=(f"towards more {examples.name}",),
        explained=torch.tensor([found.score]),
        settings=job.facts(measure="score on latents that were not fitted", **facts),
    )


def find_channels(job: Job) -> Directions:
    """The channels of s that an attribute or a mask ranks first, a direction for each."""
    if (job.settings.mask is None) == (job.labels is None):
        raise UsageError(
            "Channels are ranked either by where they act (--mask box:0.3,0.5,0.7,0.8) or by an attribute (--labels "
            "STORE): give one of the two."
        )
    z, label = job.z()
    every = _searched(job, job.model.styles(job.ws(z, label)))
    deviations = {layer: styles.double().std(dim=0) for layer, styles in every.items()}
    if job.settings.mask is not None:
        ranking, measure = _by_mask(job, deviations, job.settings.mask), "share of the change inside the mask"
    else:
        examples = examples_of(job)
        chosen = _searched(job, job.model.styles(examples.ws[examples.values > examples.values.median()]))
        ranking, measure = style_ranking(every, chosen), "mean over deviation of the attribute's normalised styles"
    best = ranking.channels[: job.settings.count]
    if not best:
        raise UsageError("No channel changes anything there. Use a larger --mask, or other --layers.")
    values = {layer: torch.zeros(len(best), styles.shape[1]) for layer, styles in every.items()}
    steps = torch.zeros(len(best), dtype=torch.float64)
    for index, (layer, channel) in enumerate(best):
        values[layer][index, channel] = float(ranking.signs[index])
        steps[index] = deviations[layer][channel]
    used = {layer: value for layer, value in values.items() if bool(value.any())}
    signs = ["raises the channel" if sign > 0 else "lowers the channel" for sign in ranking.signs[: len(best)]]
    return unit(
        used,
        space="s",
        steps=steps,
        names=tuple(f"{layer}:{channel}" for layer, channel in best),
        signs=tuple(signs),
        method="channels",
        model_hash=job.inputs.model_hash(job.model),
        explained=ranking.scores[: len(best)].float(),
        settings=job.facts(measure=measure, mask=job.settings.mask),
    )


def _searched(job: Job, styles: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Styles of the layers that are looked at: those of the image's own layers mix colours everywhere (section 3)."""
    layers = job.layers()
    plan = job.model.generator.synthesis.plan
    kept = [
        s.name for s in plan if s.kind != "rgb" and s.name in styles and (layers is None or s.style_index in layers)
    ]
    if not kept:
        raise UsageError("No layer with a style is among --layers; layers of the image itself are left out.")
    return {name: styles[name] for name in kept}


def _by_mask(job: Job, deviations: Mapping[str, Tensor], mask: str) -> Ranking:
    on = drawing(job.inputs, DrawSettings(label=job.any_class()))
    height, width = job.model.image_size
    weights = mask_of(mask, job.inputs.mask)(Canvas.of_size((height, width))).expand(height, width)
    origins = list(on.origins(range(job.settings.seed, job.settings.seed + max(job.settings.images, 1))))
    plain = [on.scene({o.name: on.subject(o)}, o.name, seed=o.seed) for o in origins]
    before = torch.stack([one.image.float().cpu() for one in render(plain, job.inputs, batch=16)])
    channels = [(layer, c) for layer, values in deviations.items() for c in range(len(values)) if values[c] > 1e-9]

    def scenes() -> Iterator[Scene]:
        for layer, channel in channels:
            move = Channel(layer=layer, channel=channel, strength=AMOUNT * float(deviations[layer][channel]))
            for origin, scene in zip(origins, plain, strict=True):
                subject = scene.subjects[origin.name].changed(moves=(move,))
                yield scene.changed(subjects={origin.name: subject})

    shares, sizes, images = [], [], []
    for one in render(scenes(), job.inputs, batch=16):
        images.append(one.image.float().cpu())
        if len(images) == len(origins):
            share, size = locality(before, torch.stack(images), weights)
            shares.append(share)
            sizes.append(size)
            images = []
            done = Progress(done=len(shares), total=len(channels), unit="channels", stage="moving each channel")
            job.on_progress(done)
    share, size = torch.stack(shares), torch.stack(sizes)
    visible = size >= size.median()
    kept = [channel for channel, seen in zip(channels, visible.tolist(), strict=True) if seen]
    return ranked(kept, share[visible], torch.ones(int(visible.sum())))
