"""Attributes of reference images in a source image, where shapes or parts of the face are.

Three ways, which "StyleGAN of All Trades" (Chong, Lee and Forsyth 2021, section 3.4) compares:

``features``
    Its own. At every layer f = (1 - m) f_source + m f_reference, with a soft mask m, and before that the reference gets
    the pose of the source: the first w of its w+ are the source's.
``suzuki``
    The collage of Suzuki et al. 2018: features are replaced by those of the reference under a hard mask.
``collins``
    Style channels of Collins et al. 2020, see :mod:`sgkit.latents.clusters`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from sgkit import edits
from sgkit.config.base import Config
from sgkit.config.regions import Region, parse_region
from sgkit.config.shapes import PICTURE, parse_shape
from sgkit.errors import UsageError
from sgkit.latents.sources import Origin, Source
from sgkit.model import Model
from sgkit.render.channels import ChannelSettings, choose_channels, style_numbers
from sgkit.render.drawing import Drawing, unlike
from sgkit.render.inputs import Inputs
from sgkit.render.parts import Segmentation, part_shapes
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Masked, Masks, Mix, Scene, Subject
from sgkit.render.shapes import Shape
from sgkit.render.sheets import write_rows
from sgkit.runtime.files import check_new
from sgkit.runtime.progress import OnProgress, ignore_progress

POSE_DIMENSIONS = 2048
"""The first of w+ control the pose ("StyleGAN of All Trades", section 3.4): four layers, where w has 512 numbers."""
POSE_LAYERS = 4
"""With shorter w no more layers than these, which are those of 4 and 8 pixels: later ones hardly move anything."""
SOAT_KEPT = (1, 2)
"""Numbers of w whose layers the paper's code leaves to the source for faces."""
SUZUKI_LAYERS = "to 16px"
SOFTNESS = 0.1


class TransferSettings(Config):
    """How attributes are transferred."""

    mode: Literal["features", "suzuki", "collins"] = "features"
    layers: str | None = None
    """Which layers; ``None``: all, of ``suzuki`` those up to 16 pixels."""
    align: bool | None = None
    """Give the references the pose of the source; ``None``: in the mode ``features``, if the model has several w."""
    blend: Literal["smooth", "soat"] = "smooth"
    """``soat``: boxes blurred, and layers chosen, as the paper's code does it."""
    softness: Annotated[float, Field(ge=0, le=1)] = SOFTNESS
    """Width of the soft edge of shapes that have none of their own, as a fraction of the picture."""
    clusters: Annotated[int, Field(ge=2, le=256)] = 16
    """``collins``: clusters of features."""
    samples: Annotated[int, Field(ge=1, le=512)] = 64
    """``collins``: images whose features are clustered."""
    budget: Annotated[float, Field(ge=0, le=1)] = 0.2
    """``collins``: how much may change outside the region, as a fraction of all channels."""


class Reference(NamedTuple):
    """An image, and where the source gets its features."""

    source: Source
    region: str
    """A shape, or parts of a face, such as ``eyes`` or ``box:0.2,0.3,0.8,0.6``."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One source with the attributes of the references."""

    result: Scene
    source: Scene
    references: tuple[Scene, ...]
    shapes: tuple[tuple[Shape, ...], ...]
    """Where each reference is."""
    pose_layers: tuple[int, ...]
    """Numbers of the w that the references have from the source."""
    clusters: tuple[tuple[int, ...], ...] = ()
    """``collins``: the clusters of each reference's region."""


@dataclass
class _Planned:
    """A source before its scene is made."""

    origin: Origin
    name: str
    shapes: list[tuple[Shape, ...]]
    clusters: Sequence[tuple[int, ...]] = ()
    channels: Sequence[Origin] = ()


def pose_layers(num_ws: int, w_dim: int) -> tuple[int, ...]:
    """Numbers of the w of w+ that control the pose: 2,048 numbers, at most four w; none of a model with one w."""
    return tuple(range(min(math.ceil(POSE_DIMENSIONS / w_dim), POSE_LAYERS, num_ws - 1)))


def transfers(
    on: Drawing,
    sources: Source | Iterable[Source],
    references: Sequence[Reference],
    settings: TransferSettings,
    *,
    segmentation: Segmentation | None = None,
    channels: Path | None = None,
) -> list[Transfer]:
    """The scenes of every source with the attributes of all references.

    Args:
        on: the model and how it is drawn.
        sources: what is changed.
        references: each one image, and where its features go.
        settings: how.
        segmentation: where the parts of the one source are; ``None``: found by landmarks.
        channels: ``collins``: the latent file to write the weights of style channels to; ``None``: they stay in memory.

    Raises:
        UsageError: a region, layers or a setting does not fit.
        InputError: no face is found.
        MissingDependencyError: the extra ``faces`` is needed.
    """
    origins = list(on.origins(sources))
    known = {} if segmentation is None else {"known": tuple(segmentation.parts)}
    regions = [parse_region(one.region, **known) for one in references]
    others = [_one(on, reference) for reference in references]
    if not origins or not others:
        raise UsageError("A transfer needs a source and a reference with a region, for example eyes or box:0,0,0.5,1.")
    if segmentation is not None and len(origins) > 1:
        raise UsageError(f"One segmentation cannot fit {len(origins)} sources. Give one source, or use landmarks.")
    align = _aligns(on.model, settings)
    pose = pose_layers(on.model.num_ws, on.model.config.w_dim) if align else ()
    names = unlike(one.name for one in [*origins, *others])
    planned = [
        _Planned(origin, name, _shapes(on, origin, name, regions, settings, segmentation))
        for origin, name in zip(origins, names, strict=False)
    ]
    subjects = dict(zip(names[len(origins) :], (on.subject(one, batch=1) for one in others), strict=True))
    if settings.mode == "collins":
        chosen = choose_channels(
            on,
            {one.name: (one.origin, one.shapes) for one in planned},
            list(subjects),
            ChannelSettings(clusters=settings.clusters, samples=settings.samples, budget=settings.budget),
            file=channels,
        )
        for one in planned:
            one.clusters, one.channels = chosen[one.name]
    return [_transfer(on, one, subjects, settings, pose) for one in planned]


def transfer(
    on: Drawing,
    sources: Source | Iterable[Source],
    references: Sequence[Reference],
    settings: TransferSettings | None = None,
    *,
    segmentation: Segmentation | None = None,
    batch: int = 8,
) -> list[Rendered]:
    """Every source with the attributes of all references. Arguments and errors: :func:`transfers`."""
    found = transfers(on, sources, references, settings or TransferSettings(), segmentation=segmentation)
    return list(render([one.result for one in found], on.inputs, batch=batch))


def _one(on: Drawing, reference: Reference) -> Origin:
    found = list(on.origins(reference.source))
    if len(found) != 1:
        raise UsageError(
            f"A reference must be one image; {reference.source} gives {len(found)}. Give one seed or latent, and one "
            "class."
        )
    return found[0]


def _aligns(model: Model, settings: TransferSettings) -> bool:
    if settings.align and model.num_ws == 1:
        raise UsageError("This model has one w for the whole image, so there is no pose to align. Remove --align.")
    wanted = settings.mode == "features" if settings.align is None else settings.align
    return wanted and model.num_ws > 1


# ----------------------------------------------------------------------------------------------- regions


def _shapes(
    on: Drawing,
    origin: Origin,
    name: str,
    regions: Sequence[Region],
    settings: TransferSettings,
    segmentation: Segmentation | None,
) -> list[tuple[Shape, ...]]:
    """The shapes of every region in the picture of one source."""
    softness = 0.0 if settings.mode == "suzuki" else settings.softness
    pixels = None
    if segmentation is None and any(region.parts for region in regions):
        (drawn,) = render(on.scene({name: on.subject(origin, batch=1)}, name, seed=origin.seed), on.inputs)
        pixels = drawn.pixels
    found: list[tuple[Shape, ...]] = []
    for region in regions:
        if region.shape is None:
            found.append(part_shapes(region.parts, pixels, name, softness=softness, segmentation=segmentation))
        elif settings.blend == "soat":
            found.append((_soat_box(region.shape),))
        else:
            found.append((softened(region.shape, softness, on.inputs),))
    if settings.blend == "soat" and any(region.parts for region in regions):
        raise UsageError("--blend soat blurs boxes: give each region as box:left,top,right,bottom.")
    return found


def _soat_box(text: str) -> str:
    shape = parse_shape(text)
    if shape.kind != "box" or shape.is_inverse:
        raise UsageError(f"--blend soat blurs boxes, and {text!r} is not one. Write box:left,top,right,bottom.")
    return "soat-box:" + ",".join(f"{number!r}" for number in shape.numbers[:4])


def softened(text: str, softness: float, inputs: Inputs) -> Shape:
    """The shape that ``text`` means, with a soft edge if it may have one and has none.

    Raises:
        UsageError: the text is not a shape.
        SceneError: its image file is not there.
    """
    shape = parse_shape(text)
    if shape.kind == PICTURE:
        named = inputs.mask_picture(shape)
        return named if shape.softness else named.changed(softness=softness)
    has_own = len(shape.numbers) == 5 if shape.kind in ("box", "ellipse") else len(shape.numbers) % 2 == 1
    soft = softness > 0 and not has_own and shape.kind in ("box", "ellipse", "polygon")
    return f"{text},{softness:g}" if soft else text


# ------------------------------------------------------------------------------------------------ scenes


def _transfer(
    on: Drawing,
    planned: _Planned,
    references: dict[str, Subject],
    settings: TransferSettings,
    pose: tuple[int, ...],
) -> Transfer:
    name, seed = planned.name, planned.origin.seed
    source = on.subject(planned.origin, batch=1)
    alone = on.scene({name: source}, name, seed=seed)
    aligned = dict(references)
    if pose and not (settings.blend == "soat" and settings.mode == "features"):
        aligned = {key: one.changed(mix=(Mix(subject=name, layers=pose),)) for key, one in references.items()}
    if settings.mode == "collins":
        mixes = tuple(
            Mix(subject=key, layers=style_numbers(on.model, settings.layers, pose), channels=on.inputs.source(channel))  # type: ignore[arg-type]
            for key, channel in zip(references, planned.channels, strict=True)
        )
        result = alone.changed(subjects={name: source.changed(mix=mixes), **references})
    else:
        masks = _masks(on.model, name, list(references), planned.shapes, settings, pose)
        result = alone.changed(subjects={name: source, **aligned}, arrangement=masks)
    return Transfer(
        result=result,
        source=alone,
        references=tuple(on.scene({key: one}, key, seed=seed) for key, one in references.items()),
        shapes=tuple(planned.shapes),
        pose_layers=pose,
        clusters=tuple(planned.clusters),
    )


def _masks(
    model: Model,
    name: str,
    references: Sequence[str],
    shapes: Sequence[tuple[Shape, ...]],
    settings: TransferSettings,
    pose: tuple[int, ...],
) -> Masks:
    covered = [(key, shape) for key, one in zip(references, shapes, strict=True) for shape in one]
    if settings.mode == "suzuki":
        over = tuple(Masked(subject=key, shape=shape) for key, shape in covered)
        return Masks(kind="masks", of=name, over=over, layers=settings.layers or SUZUKI_LAYERS, mode="collage")
    if settings.blend == "smooth":
        over = tuple(Masked(subject=key, shape=shape) for key, shape in covered)
        return Masks(kind="masks", of=name, over=over, layers=settings.layers or "all")
    # The code leaves layers to the source by a weight of 0, after which both continue with the same features.
    kept = SOAT_KEPT if pose else ()
    plan = model.generator.synthesis.plan
    picked = edits.parse_layers(settings.layers or "all", plan).layers(plan)
    layers = ",".join(spec.name for spec in plan if spec.index in picked and spec.style_index not in kept)
    nothing = Masked(subject=references[0], shape="all:0")
    over = (nothing, *(Masked(subject=key, shape=shape, layers=layers) for key, shape in covered))
    return Masks(kind="masks", of=name, over=over)


# ------------------------------------------------------------------------------------------------- files


@dataclass(frozen=True, kw_only=True)
class TransferResult:
    """What was written."""

    files: tuple[Path, ...]
    """The image; of ``collins`` also the weights of the style channels."""
    sources: tuple[str, ...]
    references: tuple[str, ...]
    regions: tuple[str, ...]
    mode: str
    pose_layers: tuple[int, ...]
    """Numbers of the w that the references have from the source."""
    pose_dimensions: int
    """How many numbers of w+ these are."""
    clusters: tuple[tuple[tuple[int, ...], ...], ...]
    """``collins``: for each source, the clusters of each reference's region."""
    seconds: float
    model_hash: str


def transfer_file(
    on: Drawing,
    sources: Source | Iterable[Source],
    references: Sequence[Reference],
    path: str | Path,
    settings: TransferSettings | None = None,
    *,
    segmentation: Segmentation | None = None,
    shows_inputs: bool = False,
    gap: int = 2,
    batch: int = 8,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> TransferResult:
    """Write one PNG with a row for each source.

    Args:
        shows_inputs: each row starts with the source and the references.

    Raises:
        UsageError, InputError, MissingDependencyError: as :func:`transfers`; or a file exists.
    """
    began, path, settings = time.perf_counter(), Path(path), settings or TransferSettings()
    channels = path.with_suffix(".npz") if settings.mode == "collins" else None
    files = [path, *([] if channels is None else [channels])]
    for file in files:
        check_new(file, overwrite=overwrite)
    found = transfers(on, sources, references, settings, segmentation=segmentation, channels=channels)
    rows = [[*((one.source, *one.references) if shows_inputs else ()), one.result] for one in found]
    write_rows(rows, path, on.inputs, gap=gap, batch=batch, on_progress=on_progress)
    return TransferResult(
        files=tuple(files),
        sources=tuple(one.source.main()[0] for one in found),
        references=tuple(scene.main()[0] for scene in found[0].references),
        regions=tuple(one.region for one in references),
        mode=settings.mode,
        pose_layers=found[0].pose_layers,
        pose_dimensions=len(found[0].pose_layers) * on.model.config.w_dim,
        clusters=tuple(one.clusters for one in found),
        seconds=time.perf_counter() - began,
        model_hash=on.inputs.model_hash(on.model),
    )
