"""The only road from latents to pixels: scenes in, pictures out.

Scenes of equal shape are drawn together, in batches; styles that many scenes share are computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.latents.spaces import join, to_styles
from sgkit.model import Branch, Model, NoiseSource, finite, walk
from sgkit.model.precision import drawing_precision
from sgkit.render.compile import Compiler, Styled, Styles, noise_of, smoothed, stacked
from sgkit.render.files import png_bytes, write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import Pixels, to_pixels
from sgkit.render.scene import Line, Scene, Sheet
from sgkit.render.strips import Strip
from sgkit.render.weaving import layout, weave_styles
from sgkit.runtime.precision import ResolvedPrecision, autocast


@dataclass(frozen=True)
class Rendered:
    """One picture of a network, and the scene that makes it again."""

    scene: Scene
    image: Tensor
    """[C, H, W], about -1 to 1, on the model's device."""

    @cached_property
    def pixels(self) -> Pixels:
        """uint8 [H, W, C]."""
        pixels: Pixels = to_pixels(self.image[None])[0]
        return pixels

    def save(self, path: str | Path) -> Path:
        """Write a PNG that carries the scene."""
        write_picture(self.pixels, Path(path), Sheet(scenes=(self.scene,)))
        return Path(path)

    def _repr_png_(self) -> bytes:
        return png_bytes(self.pixels)


def render(scenes: Scene | Iterable[Scene], inputs: Inputs | Model, *, batch: int = 8) -> Iterator[Rendered]:
    """Pictures of ``scenes``, in order, drawn as they are asked for.

    A scene is drawn with up to ``batch - 1`` neighbours of equal shape, or as often at once as it says itself
    (``Scene.batch``), so that it comes out the same to the last bit: a network's last digits depend on how many images
    it computes together, but not on which.

    Args:
        scenes: one, or many; may be endless.
        inputs: the models and latents that they name, or the one model.
        batch: most pictures drawn at a time.

    Raises:
        UsageError: a scene does not fit its model.
        SceneError: a model or latents are not there.
        NonFiniteImageError: a picture holds NaN or infinity.
    """
    if batch < 1:
        raise UsageError(f"batch is {batch}; it must be 1 or more.")
    compiler = Compiler(inputs if isinstance(inputs, Inputs) else Inputs(inputs))
    rest = iter([scenes] if isinstance(scenes, Scene) else scenes)
    waiting: list[Scene] = []
    while chunk := [*waiting, *islice(rest, max(batch - len(waiting), 0))]:
        together = _alike(chunk, batch)
        waiting = chunk[together:]
        yield from _drawn(chunk[:together], compiler)


def _alike(scenes: Sequence[Scene], batch: int) -> int:
    """How many scenes from the first on can be drawn together."""
    first = scenes[0]
    most = 1 if isinstance(first.arrangement, Line) else min(first.batch or batch, len(scenes))
    kind = _shape(first)
    return next((index for index in range(1, most) if _shape(scenes[index]) != kind), most)


def _shape(scene: Scene) -> object:
    model = scene.subjects[scene.main()[0]].model
    return (scene.arrangement.kind, scene.batch, scene.models.get(model), model, scene.noise.kind, scene.precision)


def _drawn(scenes: Sequence[Scene], compiler: Compiler) -> list[Rendered]:
    first = scenes[0]
    model = compiler.inputs.model(first, first.subjects[first.main()[0]].model)
    precision = drawing_precision(first.precision, model.config, model.device)
    if isinstance(first.arrangement, Line):
        (scene,) = scenes
        return [Rendered(scene.changed(precision=precision), _line(scene, first.arrangement, compiler, precision)[0])]
    copies = first.batch or len(scenes)
    drawn = [*scenes, *[scenes[-1]] * (copies - len(scenes))]
    with torch.inference_mode():
        styled = compiler.styled([(scene, scene.main()[0]) for scene in drawn])
        images = draw(model, stacked(styled), noise_of(drawn, compiler), precision)
    return [
        Rendered(_recorded(scene, one, copies, precision), image)
        for scene, one, image in zip(scenes, styled, images, strict=False)
    ]


def _recorded(scene: Scene, main: Styled, copies: int, precision: ResolvedPrecision) -> Scene:
    """The scene with how it was drawn."""
    (name,) = scene.main()
    subject = scene.subjects[name].changed(batch=main.batch)
    return scene.changed(subjects={**scene.subjects, name: subject}, batch=copies, precision=precision)


def draw(model: Model, styles: Styles, noise: NoiseSource, precision: ResolvedPrecision) -> Tensor:
    """Images [N, C, H, W], about -1 to 1, for styles of the s space.

    Raises:
        NonFiniteImageError: an image holds NaN or infinity; the first layer that does is named.
    """
    with torch.inference_mode(), autocast(precision, model.device):
        branches = [Branch(model.generator.synthesis, styles, noise)]
        return finite(walk(branches)[0].image, branches)


# ------------------------------------------------------------------------------------------------ lines


def strip_of(scene: Scene, line: Line, model: Model) -> Strip:
    """Where the subjects of a line are on the canvas.

    Raises:
        UsageError: size, overlap or a periodic axis do not fit the model.
    """
    across = 0 if line.axis == "x" else 1
    if scene.size is not None and scene.size[across] != model.image_size[across]:
        side = "height" if line.axis == "x" else "width"
        raise UsageError(
            f"The {side} of the panorama is {scene.size[across]}; the model fixes it at {model.image_size[across]}."
        )
    return layout(
        model,
        len(line.of),
        pixels=None if scene.size is None else scene.size[1 - across],
        overlap=line.overlap,
        is_ring=line.axis in scene.periodic,
        axis=line.axis,
    )


def _line(scene: Scene, line: Line, compiler: Compiler, precision: ResolvedPrecision) -> Tensor:
    model = compiler.inputs.model(scene, scene.subjects[line.of[0]].model)
    strip = strip_of(scene, line, model)
    with torch.inference_mode():
        if line.smoothing:
            latents = smoothed([compiler.latents(scene, name) for name in line.of], line, is_ring=strip.is_ring)
            subject = scene.subjects[line.of[0]]
            styles = to_styles(join(latents), model, psi=subject.psi, cutoff=subject.cutoff)
        else:
            styles = stacked(compiler.styled([(scene, name) for name in line.of]))
        with autocast(precision, model.device):
            return weave_styles(
                model,
                styles,
                pixels=None if scene.size is None else scene.size[1 if line.axis == "x" else 0],
                overlap=line.overlap,
                is_ring=strip.is_ring,
                axis=line.axis,
                noise=scene.noise.kind,
                noise_seed=scene.noise.seed,
            )
