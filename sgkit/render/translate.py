"""Images of one domain in another: between a base model and one that was fine-tuned from it.

"StyleGAN of All Trades" (Chong, Lee and Forsyth 2021, section 3.5): where mapping and affine layers stay as they are in
fine-tuning, the same styles mean the same in both networks, and f = (1 - a) f_base + a f_target at every layer turns an
image into one of the other domain. With weights of 0 and 1 that is the layer swapping of Pinkney and Adler 2020
("Resolution Dependent GAN Interpolation", section 3).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field

from sgkit import edits
from sgkit.config.base import Config
from sgkit.config.regions import parse_region
from sgkit.errors import UsageError
from sgkit.latents.sources import Origin, Source
from sgkit.model import Model
from sgkit.model.spec import plan_difference
from sgkit.render.drawing import Drawing, DrawSettings, unlike
from sgkit.render.inputs import Inputs
from sgkit.render.parts import Segmentation, part_shapes
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Alone, Masked, Masks, Mix, Scene
from sgkit.render.shapes import Shape
from sgkit.render.sheets import write_rows
from sgkit.render.transfer import SOFTNESS, softened
from sgkit.runtime.files import check_new
from sgkit.runtime.progress import OnProgress, ignore_progress

BASE, TARGET = "base", "target"
"""Keys of the two models in a scene."""
SWAPPED = "to 32px"
PROBES = 8
"""Random w whose styles are compared."""
Weight = Annotated[float, Field(ge=0, le=1)]


class TranslateSettings(Config):
    """How images are translated."""

    mode: Literal["blend", "swap"] = "blend"
    """``swap``: the layers are the target's, all others the base's."""
    alphas: tuple[Weight, ...] = (1.0,)
    """How much of the target; one image for each."""
    layers: str | None = None
    """Where the target takes part; ``None``: everywhere, of ``swap`` in layers up to 32 pixels."""
    by_layer: Mapping[str, Weight] = field(default_factory=dict)
    """Layers -> how much of alpha counts there; at layers that are not named, nothing."""
    region: str | None = None
    """A shape, or parts of a face; ``None``: everywhere."""
    softness: Weight = SOFTNESS
    """Width of the soft edge of a region that does not give one, as a fraction of the picture."""
    style_layers: str = "fine"
    """Which of the target's styles the other styles replace."""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """What two models share."""

    affine: int
    """Layers whose affine weights are equal."""
    num_affine: int
    mapping: bool
    """Whether the mapping networks are equal."""

    @property
    def is_related(self) -> bool:
        """Whether the same styles mean the same in both."""
        return self.affine == self.num_affine


def relation(base: Model, target: Model) -> Relation:
    """How much of what makes styles is equal in two models.

    Raises:
        UsageError: their layers differ, so that no image can pass from one to the other.
    """
    plan = base.generator.synthesis.plan
    difference = plan_difference(plan, target.generator.synthesis.plan)
    if difference or (base.num_ws, base.config.w_dim) != (target.num_ws, target.config.w_dim):
        raise UsageError(
            f"The two models have different layers ({difference or 'w of different lengths'}), so no image can be "
            "translated between them. Give a target that was fine-tuned from the base: "
            "sgkit train STORE --init BASE --freeze affine"
        )
    generator = torch.Generator().manual_seed(0)
    ws = torch.randn(PROBES, base.num_ws, base.config.w_dim, generator=generator)
    one, other = (model.styles(ws.to(model.device)) for model in (base, target))
    equal = [torch.allclose(style.cpu(), other[name].cpu(), rtol=1e-4, atol=1e-4) for name, style in one.items()]
    mappings = [dict(model.generator.mapping.named_parameters()) for model in (base, target)]
    mapping = mappings[0].keys() == mappings[1].keys() and all(
        value.shape == mappings[1][name].shape and torch.equal(value.cpu(), mappings[1][name].cpu())
        for name, value in mappings[0].items()
    )
    return Relation(affine=sum(equal), num_affine=len(equal), mapping=mapping)


def warnings_of(found: Relation, *, has_seeds: bool) -> tuple[str, ...]:
    """What to tell about two models that do not belong together."""
    if not found.is_related:
        return (
            f"The target is not related to the base: {found.affine} of {found.num_affine} affine layers are equal. The "
            "same styles mean something else in it, so expect a mixture, not a translation. Fine-tune from the base "
            "with: sgkit train STORE --init BASE --freeze affine,mapping",
        )
    if not found.mapping and has_seeds:
        return (
            "The mapping networks differ, so a seed has another w in the target. For a closer translation use latents "
            "of w, or fine-tune with: sgkit train STORE --init BASE --freeze affine,mapping",
        )
    return ()


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One image, and its translations."""

    base: Scene
    results: tuple[Scene, ...]
    """For each style in turn, one for each alpha."""


def translations(
    inputs: Inputs,
    sources: Source | Iterable[Source],
    settings: TranslateSettings,
    drawing: DrawSettings | None = None,
    *,
    styles: Source | Iterable[Source] | None = None,
    segmentation: Segmentation | None = None,
) -> list[Translation]:
    """The scenes of every source in the target's domain.

    Args:
        inputs: the two models, under the keys ``base`` and ``target``.
        sources: seeds, latent files and projections, of the base.
        settings: how.
        drawing: what turns them into images.
        styles: images of the target whose styles replace those of the settings' ``style_layers``; one result for each.
        segmentation: where the parts of the one source are; ``None``: found by landmarks.

    Raises:
        UsageError: the models, the region, layers or a setting do not fit.
        InputError: no face is found.
    """
    on = Drawing(inputs=inputs, model=inputs.model_of(BASE), settings=drawing or DrawSettings())
    relation(on.model, inputs.model_of(TARGET))
    origins, others = list(on.origins(sources)), [] if styles is None else list(on.origins(styles))
    if not origins:
        raise UsageError("A translation needs an image: give seeds or latents.")
    if segmentation is not None and len(origins) > 1:
        raise UsageError(f"One segmentation cannot fit {len(origins)} images. Give one image, or use landmarks.")
    names = unlike(one.name for one in [*origins, *others])
    found = []
    for origin, name in zip(origins, names, strict=False):
        base = _alone(on, name, origin)
        shapes = _shapes(on, base, name, settings, segmentation)
        styled = dict(zip(names[len(origins) :], others, strict=True))
        wanted: list[tuple[str | None, Origin | None]] = [*styled.items()] or [(None, None)]
        results = tuple(
            _translated(on, base, name, shapes, settings, alpha, key, other)
            for key, other in wanted
            for alpha in settings.alphas
        )
        found.append(Translation(base=base, results=results))
    return found


def translate(
    inputs: Inputs,
    sources: Source | Iterable[Source],
    settings: TranslateSettings | None = None,
    drawing: DrawSettings | None = None,
    *,
    styles: Source | Iterable[Source] | None = None,
    segmentation: Segmentation | None = None,
    batch: int = 8,
) -> list[Rendered]:
    """Every source in the target's domain, for each style and alpha. Arguments and errors: :func:`translations`."""
    chosen = settings or TranslateSettings()
    found = translations(inputs, sources, chosen, drawing, styles=styles, segmentation=segmentation)
    return list(render([scene for one in found for scene in one.results], inputs, batch=batch))


def _alone(on: Drawing, name: str, origin: Origin) -> Scene:
    """The source in the base's domain."""
    return Scene(
        models={key: on.inputs.reference(on.inputs.model_of(key), key) for key in (BASE, TARGET)},
        subjects={name: on.subject(origin, batch=1).changed(model=BASE)},
        arrangement=Alone(of=name),
        noise=on.noise(origin.seed),
        precision=on.settings.precision,
    )


def _shapes(
    on: Drawing, base: Scene, name: str, settings: TranslateSettings, segmentation: Segmentation | None
) -> tuple[Shape, ...]:
    if settings.region is None:
        return ("all:1",)
    region = parse_region(settings.region, **({} if segmentation is None else {"known": tuple(segmentation.parts)}))
    if region.shape is not None:
        return (softened(region.shape, settings.softness, on.inputs),)
    pixels = None if segmentation is not None else next(render(base, on.inputs)).pixels
    return part_shapes(region.parts, pixels, name, softness=settings.softness, segmentation=segmentation)


def _translated(
    on: Drawing,
    base: Scene,
    name: str,
    shapes: Sequence[Shape],
    settings: TranslateSettings,
    alpha: float,
    style: str | None,
    other: Origin | None,
) -> Scene:
    aim = f"{name}-{TARGET}"
    subjects = dict(base.subjects)
    subjects[aim] = target = subjects[name].changed(model=TARGET)
    if style is not None and other is not None:
        plan = on.model.generator.synthesis.plan
        layers = edits.parse_layers(settings.style_layers, plan).styles(plan)
        subjects[aim] = target.changed(mix=(Mix(subject=style, layers=layers),))
        subjects[style] = on.subject(other, batch=1).changed(model=TARGET)
    layers_of = settings.by_layer or {settings.layers or ("all" if settings.mode == "blend" else SWAPPED): 1.0}
    over = [
        Masked(subject=aim, shape=shape, layers=None if layers == "all" else layers, weight=alpha * share)
        for layers, share in layers_of.items()
        for shape in shapes
    ]
    if any(one.layers for one in over):  # elsewhere both continue with what the base has written
        over.insert(0, Masked(subject=aim, shape="all:0"))
    masks = Masks(kind="masks", of=name, over=tuple(over))
    return base.changed(subjects=subjects, arrangement=masks)


# ------------------------------------------------------------------------------------------------- files


@dataclass(frozen=True, kw_only=True)
class TranslateResult:
    """What was written."""

    file: Path
    sources: tuple[str, ...]
    styles: int
    alphas: tuple[float, ...]
    mode: str
    affine_shared: int
    """Layers whose affine weights are equal in both models."""
    affine_layers: int
    mapping_shared: bool
    warnings: tuple[str, ...]
    seconds: float
    model_hash: str
    """Of the base."""
    target_hash: str


def translate_file(
    inputs: Inputs,
    sources: Source | Iterable[Source],
    path: str | Path,
    settings: TranslateSettings | None = None,
    drawing: DrawSettings | None = None,
    *,
    styles: Source | Iterable[Source] | None = None,
    segmentation: Segmentation | None = None,
    shows_inputs: bool = False,
    gap: int = 2,
    batch: int = 8,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> TranslateResult:
    """Write one PNG with a row for each source: its translations by style and alpha.

    Args:
        shows_inputs: each row starts with the base's image.

    Raises:
        UsageError, InputError: as :func:`translations`; or the file exists.
    """
    began, path, settings = time.perf_counter(), Path(path), settings or TranslateSettings()
    check_new(path, overwrite=overwrite)
    found = translations(inputs, sources, settings, drawing, styles=styles, segmentation=segmentation)
    shared = relation(inputs.model_of(BASE), inputs.model_of(TARGET))
    rows = [[*((one.base,) if shows_inputs else ()), *one.results] for one in found]
    write_rows(rows, path, inputs, gap=gap, batch=batch, on_progress=on_progress)
    seeded = any(hasattr(subject.source, "seed") for one in found for subject in one.base.subjects.values())
    return TranslateResult(
        file=path,
        sources=tuple(one.base.main()[0] for one in found),
        styles=len(found[0].results) // len(settings.alphas),
        alphas=settings.alphas,
        mode=settings.mode,
        affine_shared=shared.affine,
        affine_layers=shared.num_affine,
        mapping_shared=shared.mapping,
        warnings=warnings_of(shared, has_seeds=seeded),
        seconds=time.perf_counter() - began,
        model_hash=inputs.model_hash(inputs.model_of(BASE)),
        target_hash=inputs.model_hash(inputs.model_of(TARGET)),
    )
