"""Style channels of regions: which of them carry a part of the picture (Collins et al. 2020), as latents of s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sgkit import edits
from sgkit.latents.clusters import Catalogue, catalogue, channel_weights, clusters_inside
from sgkit.latents.sources import Origin
from sgkit.latents.spaces import Latents, join, save_latents
from sgkit.model import Canvas, Model
from sgkit.model.labels import class_list, one_label
from sgkit.render.compile import Compiler
from sgkit.render.drawing import Drawing
from sgkit.render.inputs import Inputs
from sgkit.render.shapes import Shape, mask_of


@dataclass(frozen=True, kw_only=True)
class ChannelSettings:
    """How style channels are chosen."""

    clusters: int
    """Clusters of features."""
    samples: int
    """Images whose features are clustered: those of the seeds from 0 on."""
    budget: float
    """How much may change outside the region, as a fraction of all channels."""


Chosen = tuple[list[tuple[int, ...]], list[Origin]]
"""For each reference the clusters of its region, and the weights of style channels."""


def style_numbers(model: Model, layers: str | None, pose: Sequence[int]) -> tuple[int, ...]:
    """Numbers of the w whose style channels are transferred: those of ``layers`` without ``pose``."""
    plan = model.generator.synthesis.plan
    picked = edits.parse_layers(layers or "all", plan).styles(plan)
    return tuple(number for number in picked if number not in pose)


def choose_channels(
    on: Drawing,
    sources: Mapping[str, tuple[Origin, Sequence[tuple[Shape, ...]]]],
    references: Sequence[str],
    settings: ChannelSettings,
    *,
    file: Path | None,
) -> dict[str, Chosen]:
    """The style channels of every region of every source.

    Args:
        on: the model and how it is drawn.
        sources: by name; each with the shapes of every reference in its picture.
        references: their names.
        settings: how channels are chosen.
        file: the latent file to write the weights to; ``None``: they stay in memory.

    Raises:
        UsageError: the model has no style channels.
    """
    found = _catalogue(on, settings)
    compiler, clusters, weights = Compiler(on.inputs), dict[str, list[tuple[int, ...]]](), list[Latents]()
    for name, (origin, regions) in sources.items():
        scene = on.scene({name: on.subject(origin, batch=1)}, name)
        (styled,) = compiler.styled([(scene, name)])
        for key, shapes in zip(references, regions, strict=True):
            inside = clusters_inside(found, on.model, styled.styles, _union(shapes, on.inputs))
            clusters.setdefault(name, []).append(inside)
            values = channel_weights(found, styled.styles, inside, budget=settings.budget)
            weights.append(Latents(space="s", values=values, names=(f"{name} {key}",)))
    together = join(weights)
    if file is not None:
        save_latents(together, file)
    places = iter(range(len(weights)))
    return {
        name: (inside, [Origin(name=key, latents=together, index=next(places), file=file) for key in references])
        for name, inside in clusters.items()
    }


def _catalogue(on: Drawing, settings: ChannelSettings) -> Catalogue:
    """The clusters of a model, computed once for many transfers."""
    psi, labels = on.settings.truncation_psi, class_list(on.model, on.settings.label)
    label = labels[0] if labels else one_label(on.model, on.settings.label)
    key = (on.inputs.model_hash(on.model), settings.samples, settings.clusters, repr(psi), repr(label))
    if key not in _KEPT:
        _KEPT.clear()
        seeds = range(settings.samples)
        _KEPT[key] = catalogue(on.model, seeds, clusters=settings.clusters, psi=psi, label=label)
    return _KEPT[key]


_KEPT: dict[tuple[object, ...], Catalogue] = {}
"""The last one."""


def _union(shapes: Sequence[Shape], inputs: Inputs) -> edits.Mask:
    """Where any of the shapes is."""
    masks = [mask_of(shape, inputs.mask) for shape in shapes]

    def mask(canvas: Canvas) -> Tensor:
        return torch.stack([one(canvas).expand(canvas.size) for one in masks]).amax(dim=0)

    return mask
