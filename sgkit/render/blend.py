"""Several images in one, each where a shape is ("StyleGAN of All Trades", section 4.1; Suzuki et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sgkit.config.base import Config
from sgkit.config.placed import PlacedShape, parse_placed
from sgkit.config.shapes import PICTURE, parse_shape
from sgkit.errors import UsageError
from sgkit.latents.sources import Source
from sgkit.model import Model
from sgkit.model.labels import LabelChoice
from sgkit.render.drawing import Drawing, DrawSettings, drawing, unlike
from sgkit.render.inputs import Inputs
from sgkit.render.outputs import write_images
from sgkit.render.render import Rendered, render
from sgkit.render.scene import MODEL, Masked, Masks, Noise, Scene
from sgkit.render.shapes import MaskPicture

LARGEST_RADIUS = 0.7
"""Of a radial blend, in sides of the picture: the corners of a square."""


class BlendSettings(Config):
    """Where each image shows."""

    shapes: tuple[str, ...] = ()
    """Shapes of the second and further images: ``box:0.2,0.3,0.8,0.6``, ``3=mask.png``, ``2=ramp:x@coarse``."""
    direction: Literal["horizontal", "vertical", "radial"] = "horizontal"
    """Without shapes: images in equal parts, from left to right, from top to bottom, or from the centre outwards."""
    overlap: float = 1.0
    """Width of the blend between neighbours, as a fraction of each image's part: 0 (hard edges) to 1."""
    blend: Literal["smooth", "soat"] = "smooth"
    """``soat``: the linear ramp of the paper's code over the middle half, for two images."""
    mode: Literal["blend", "suzuki"] = "blend"
    """``suzuki``: the images under shapes stay as they are and are copied into the first one (Suzuki et al. 2018)."""
    layers: str = "all"
    """At which layers, where a shape does not say it."""
    noise_seed: int = 0
    """Seed of the noise of ``random``."""
    labels: tuple[LabelChoice, ...] = ()
    """A class for each image, in place of one for all."""


@dataclass(frozen=True, kw_only=True)
class BlendResult:
    """What was written."""

    file: Path
    images: tuple[str, ...]
    """What was blended, in order."""
    width: int
    height: int
    seconds: float
    model_hash: str


def blend(
    model: Model | Inputs,
    sources: Iterable[Source],
    settings: DrawSettings | None = None,
    blending: BlendSettings | None = None,
) -> Rendered:
    """One image in which two or more are blended.

    Raises:
        UsageError: as :func:`blend_scene`.
        InputError: a latent file cannot be read.
    """
    on = drawing(model, settings)
    (rendered,) = render(blend_scene(on, sources, blending or BlendSettings()), on.inputs)
    return rendered


def blend_file(
    on: Drawing, sources: Iterable[Source], path: Path, blending: BlendSettings, *, overwrite: bool = False
) -> BlendResult:
    """Write a blend as PNG.

    Raises:
        UsageError: as :func:`blend_scene`.
        InputError: a latent file cannot be read, or ``path`` exists.
    """
    scene = blend_scene(on, sources, blending)
    found = write_images({path.stem: scene}, on.inputs, path, overwrite=overwrite)
    return BlendResult(
        file=path,
        images=scene.main(),
        width=found.width,
        height=found.height,
        seconds=found.seconds,
        model_hash=found.model_hash,
    )


def blend_scene(on: Drawing, sources: Iterable[Source], blending: BlendSettings) -> Scene:
    """The blend as data.

    Raises:
        UsageError: there are fewer than two images, a shape is not one or fits no image, or the model has no such
            layers.
        SceneError: a mask's image file is not there, or is not a mask.
    """
    origins = list(on.origins(sources))
    if len(origins) < 2:
        raise UsageError(f"A blend needs two images or more; {len(origins)} was given. Give seeds, such as 0,1.")
    if not 0 <= blending.overlap <= 1:
        raise UsageError(f"--overlap is {blending.overlap:g}; it must be between 0 (hard edges) and 1.")
    if blending.labels and len(blending.labels) != len(origins):
        raise UsageError(f"{len(blending.labels)} classes were given for {len(origins)} images; give one for each.")
    names = unlike(origin.name for origin in origins)
    subjects = {name: on.subject(origin) for name, origin in zip(names, origins, strict=True)}
    for name, label in zip(names, blending.labels, strict=False):
        subjects[name] = subjects[name].changed(label=label)
    over = _over(on, names, [parse_placed(text) for text in blending.shapes]) or _parts(names, blending)
    return Scene(
        models={MODEL: on.inputs.reference(on.model)},
        subjects=subjects,
        arrangement=Masks(
            kind="masks",
            of=names[0],
            over=tuple(over),
            layers=blending.layers,
            mode="blend" if blending.mode == "blend" else "collage",
        ),
        noise=Noise(kind=on.settings.noise, seed=blending.noise_seed),
        precision=on.settings.precision,
    )


def shape_record(on: Drawing, text: str) -> str | MaskPicture:
    """How a scene names the shape ``text``: an image file by its content."""
    parsed = parse_shape(text)
    return on.inputs.mask_picture(parsed) if parsed.kind == PICTURE else text


def _over(on: Drawing, names: Sequence[str], shapes: Sequence[PlacedShape]) -> list[Masked]:
    """The shapes that were given, each for its image."""
    count, found = len(names), []
    following = 1
    for placed in shapes:
        number = placed.number
        if number is None:
            number = min(following, 1) if count == 2 else following
            following += 1
            number += 1
        if number > count:
            raise UsageError(
                f"The shape {placed.shape!r} is for image {number}, and there are {count}. Give another seed, or name "
                f"the image: 2={placed.shape}."
            )
        shape = shape_record(on, placed.shape)
        found.append(Masked(subject=names[number - 1], shape=shape, layers=placed.layers))
    without = [name for name in names[1:] if shapes and all(name != one.subject for one in found)]
    if without:
        number = names.index(without[0]) + 1
        raise UsageError(
            f"Image {number} ({without[0]}) has no shape, so it would not show. Give one for each image after the "
            f"first, for example --shape {number}=box:0.2,0.3,0.8,0.6."
        )
    return found


def _parts(names: Sequence[str], blending: BlendSettings) -> list[Masked]:
    """Images in equal parts."""
    count, axis = len(names), "y" if blending.direction == "vertical" else "x"
    if blending.blend == "soat":
        if count != 2 or blending.direction == "radial":
            raise UsageError("--blend soat is for two images, horizontal or vertical. Use --blend smooth.")
        return [Masked(subject=names[1], shape=f"soat:{axis}")]
    half, found = blending.overlap / 2, []
    for place in range(1, count):
        start, stop = place - half, place + half
        if blending.direction == "radial":
            radii = f"{LARGEST_RADIUS * start / count},{LARGEST_RADIUS * stop / count}"
            found.append(Masked(subject=names[place], shape=f"not:radial:0.5,0.5,{radii}"))
        else:
            found.append(Masked(subject=names[place], shape=f"ramp:{axis},{start / count},{stop / count}"))
    return found
