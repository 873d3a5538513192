"""The only road from latents to pixels: scenes in, pictures out.

Scenes of equal shape are drawn together, in batches; styles that many scenes share are computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.latents.spaces import join, to_styles
from sgkit.model import Branch, Edit, Model, finite, keep, noise_source, walk
from sgkit.model.precision import drawing_precision
from sgkit.render.arrange import plane_of
from sgkit.render.compile import Compiler, Styled, Styles, noise_of, refuse_moves, smoothed, stacked
from sgkit.render.edits import edit_of
from sgkit.render.files import png_bytes, write_picture
from sgkit.render.grid import Grid
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import Pixels, to_picture, to_pixels
from sgkit.render.scene import Line, Masks, Scene, Sheet
from sgkit.render.strips import Strip
from sgkit.render.weaving import draw_strip, layout
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.text import name_list


@dataclass(frozen=True, repr=False)
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

    @property
    def name(self) -> str:
        """What the first of its subjects is called: ``seed0007``."""
        return self.scene.main()[0]

    def numpy(self) -> Pixels:
        """uint8 [H, W, C]."""
        return self.pixels

    def tensor(self) -> Tensor:
        """[C, H, W], about -1 to 1."""
        return self.image

    def pil(self) -> Image.Image:
        """A Pillow image."""
        return to_picture(self.pixels)

    def show(self) -> None:
        """Show it with the machine's own viewer."""
        self.pil().show()

    def save(self, path: str | Path) -> Path:
        """Write .png, .jpg or .webp, which carries the scene for ``sgkit replay``; an older file is replaced."""
        write_picture(self.pixels, Path(path), Sheet(scenes=(self.scene,)))
        return Path(path)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.pixels, dtype=dtype)

    def __repr__(self) -> str:
        channels, height, width = self.image.shape
        return f"<image {width}x{height}, {channels} channels, of {name_list(self.scene.main())}>"

    def _repr_png_(self) -> bytes:
        return png_bytes(self.pixels)


def render(
    scenes: Scene | Iterable[Scene], inputs: Inputs | Model, *, batch: int = 8, tiles: int | None = None
) -> Iterator[Rendered]:
    """Pictures of ``scenes``, in order, drawn as they are asked for.

    A scene is drawn with up to ``batch - 1`` neighbours of equal shape, or as often at once as it says itself
    (``Scene.batch``), so that it comes out the same to the last bit: a network's last digits depend on how many images
    it computes together, but not on which.

    Args:
        scenes: one, or many; may be endless.
        inputs: the models and latents that they name, or the one model.
        batch: most pictures drawn at a time.
        tiles: draw grids and lines in tiles of this many pixels a side; by default grids in those that the scene
            records, and lines whole. Memory depends on the tile, and the picture is the same but for rounding.

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
        yield from _drawn(chunk[:together], compiler, tiles)


def _alike(scenes: Sequence[Scene], batch: int) -> int:
    """How many scenes from the first on can be drawn together."""
    first = scenes[0]
    most = 1 if isinstance(first.arrangement, (Line, Grid)) else min(first.batch or batch, len(scenes))
    kind = _shape(first)
    return next((index for index in range(1, most) if _shape(scenes[index]) != kind), most)


def _shape(scene: Scene) -> object:
    """What scenes that are drawn together have in common."""
    models = tuple((scene.subjects[name].model, scene.models.get(scene.subjects[name].model)) for name in scene.main())
    arrangement = scene.arrangement if isinstance(scene.arrangement, Masks) else scene.arrangement.kind
    return (arrangement, scene.batch, models, scene.noise.kind, scene.precision, scene.edits)


def _drawn(scenes: Sequence[Scene], compiler: Compiler, tiles: int | None) -> list[Rendered]:
    first = scenes[0]
    if isinstance(first.arrangement, Grid) or (isinstance(first.arrangement, Line) and (tiles or first.edits)):
        return [_plane(first, compiler, tiles)]
    models = [compiler.inputs.model(first, first.subjects[name].model) for name in first.main()]
    model = models[0]
    precision = drawing_precision(first.precision, model.config, model.device)
    if isinstance(first.arrangement, Line):
        (scene,) = scenes
        image = _line(scene, first.arrangement, compiler, precision)[0]
        return [Rendered(scene.changed(precision=precision), image)]
    copies = first.batch or len(scenes)
    drawn = [*scenes, *[scenes[-1]] * (copies - len(scenes))]
    with torch.inference_mode():
        # One branch for each subject of a picture; a picture's place in the batch is the same in all of them.
        styled = [compiler.styled([(scene, scene.main()[part]) for scene in drawn]) for part in range(len(models))]
        noise = noise_of(drawn, compiler)
        branches = [
            Branch(one.generator.synthesis, stacked(found), noise) for one, found in zip(models, styled, strict=True)
        ]
        images = draw(
            branches, precision, model.device, edit_of(first, model.generator.synthesis.plan, compiler.inputs.mask)
        )
    return [
        Rendered(_recorded(scene, [found[place] for found in styled], copies, precision), images[place])
        for place, scene in enumerate(scenes)
    ]


def _recorded(scene: Scene, styled: Sequence[Styled], copies: int, precision: ResolvedPrecision) -> Scene:
    """The scene with how it was drawn."""
    mapped = {
        name: scene.subjects[name].changed(batch=found.batch) for name, found in zip(scene.main(), styled, strict=True)
    }
    return scene.changed(subjects={**scene.subjects, **mapped}, batch=copies, precision=precision)


def draw(
    branches: list[Branch], precision: ResolvedPrecision, device: torch.device, edit: Edit | None = None
) -> Tensor:
    """Images [N, C, H, W], about -1 to 1, of the first of ``branches``.

    Raises:
        NonFiniteImageError: an image holds NaN or infinity; the first layer that does is named.
    """
    with torch.inference_mode(), autocast(precision, device):
        return finite(walk(branches, edit=keep if edit is None else edit)[0].image, branches)


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


def _plane(scene: Scene, compiler: Compiler, tiles: int | None) -> Rendered:
    plane = plane_of(scene, compiler, tile=tiles)
    if isinstance(scene.arrangement, Grid):
        scene = scene.changed(arrangement=scene.arrangement.changed(tile=plane.tile))
    return Rendered(scene.changed(precision=plane.precision), plane.image()[0])


def _line(scene: Scene, line: Line, compiler: Compiler, precision: ResolvedPrecision) -> Tensor:
    model = compiler.inputs.model(scene, scene.subjects[line.of[0]].model)
    strip = strip_of(scene, line, model)
    noise = noise_source(scene.noise.kind, scene.noise.seed)
    pixels = None if scene.size is None else scene.size[1 if line.axis == "x" else 0]
    with torch.inference_mode():
        styles = _line_styles(scene, line, compiler, strip)
        with autocast(precision, model.device):
            return draw_strip(model, styles, strip, noise, pixels=pixels)


def _line_styles(scene: Scene, line: Line, compiler: Compiler, strip: Strip) -> Styles:
    if not line.smoothing:
        return stacked(compiler.styled([(scene, name) for name in line.of]))
    for name in line.of:
        refuse_moves(name, scene.subjects[name])
    subject = scene.subjects[line.of[0]]
    model = compiler.inputs.model(scene, subject.model)
    latents = smoothed([compiler.latents(scene, name) for name in line.of], line, is_ring=strip.is_ring)
    return to_styles(join(latents), model, psi=subject.psi, cutoff=subject.cutoff)
