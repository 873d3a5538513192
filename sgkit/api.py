"""The Python interface for everyday use: ``model = sgkit.load(path)``, then ``model.generate(seeds=range(4))``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sgkit import checkpoint
from sgkit.config.words import Precision
from sgkit.latents.sources import Source
from sgkit.model import Model as Networks
from sgkit.model.labels import LabelChoice
from sgkit.render.blend import BlendSettings, blend
from sgkit.render.drawing import DrawSettings, drawing
from sgkit.render.edit import AnyMove, EditSettings, edit
from sgkit.render.expand import ExpandSettings, expand
from sgkit.render.files import png_bytes, write_picture
from sgkit.render.generate import generate
from sgkit.render.inputs import Inputs
from sgkit.render.interpolate import Interpolation, interpolate
from sgkit.render.mix import mix
from sgkit.render.panorama import panorama
from sgkit.render.panorama_scene import PanoramaSettings
from sgkit.render.pictures import Pixels, arrange, grid_shape
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Layers, NoiseKind, Scene, Sheet
from sgkit.render.shift import ShiftSettings, shift

if TYPE_CHECKING:
    from sgkit.latents.directions import Directions
    from sgkit.latents.spaces import Latents
    from sgkit.tasks.directions import Method


class Images(list[Rendered]):
    """Images with the scenes that make them again. Shows itself in a notebook as a grid."""

    def numpy(self) -> Pixels:
        """uint8 [N, H, W, C]."""
        return np.stack([one.pixels for one in self])

    def tensor(self) -> Tensor:
        """[N, C, H, W], about -1 to 1."""
        return torch.stack([one.image for one in self])

    def save(self, path: str | Path, *, columns: int | None = None, gap: int = 0) -> Path:
        """Write a PNG: the image, or a grid of all; it carries the scenes for ``sgkit replay``."""
        shape = grid_shape(len(self), (columns, -(-len(self) // columns)) if columns else None)
        sheet = Sheet(scenes=tuple(one.scene for one in self), columns=shape[0], rows=shape[1], gap=gap)
        write_picture(arrange((one.pixels for one in self), shape, gap=gap), Path(path), sheet)
        return Path(path)

    def _repr_png_(self) -> bytes:
        return png_bytes(arrange((one.pixels for one in self), grid_shape(len(self)), gap=2))


class Model(Networks):
    """A model as :func:`load` gives it: the networks, and what is done with them."""

    path: Path | None = None
    """Where it was loaded from."""

    def render(self, scenes: Scene | Iterable[Scene], *, batch: int = 8) -> Images:
        """Images of scenes; see :func:`sgkit.render.render.render`."""
        return Images(render(scenes, self._inputs(), batch=batch))

    def generate(
        self,
        seeds: Source | Iterable[Source],
        *,
        psi: float | Sequence[float] = 1.0,
        cutoff: int | None = None,
        label: LabelChoice | None = None,
        noise: NoiseKind = "const",
        precision: Precision = "fp32",
        batch: int = 8,
    ) -> Images:
        """Images from seeds, latent files or latents; see :func:`sgkit.render.generate.generate`."""
        settings = _settings(psi, label, noise, precision, cutoff)
        return Images(generate(self._inputs(), seeds, settings, batch=batch))

    def mix(
        self,
        rows: Iterable[Source],
        cols: Iterable[Source],
        *,
        layers: Layers = "coarse",
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        batch: int = 8,
    ) -> Images:
        """Every row's image with every column's styles at ``layers``, row by row; see :func:`sgkit.render.mix.mix`."""
        found = mix(self._inputs(), rows, cols, _settings(psi, label), layers=layers, batch=batch)
        return Images(one for row in found.cells for one in row)

    def interpolate(
        self,
        seeds: Iterable[Source],
        *,
        frames: int = 120,
        curve: Interpolation | None = None,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        batch: int = 8,
    ) -> Iterable[Pixels]:
        """Frames uint8 [H, W, C], drawn as they are asked for; see :func:`sgkit.render.interpolate.interpolate`."""
        return interpolate(self._inputs(), seeds, _settings(psi, label), curve=curve, frames=frames, batch=batch)

    def panorama(
        self,
        seeds: Iterable[Source],
        *,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        **settings: Any,
    ) -> Rendered:
        """Images in a line or a grid that blend into each other.

        ``settings``: see :class:`sgkit.render.panorama_scene.PanoramaSettings`.
        """
        return panorama(self._inputs(), seeds, _settings(psi, label), PanoramaSettings(**settings)).rendered

    def expand(
        self,
        seeds: Source | Iterable[Source],
        *,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        noise: NoiseKind = "const",
        batch: int = 8,
        **expansion: Any,
    ) -> Images:
        """Images made larger by their features; ``expansion``: see :class:`sgkit.render.expand.ExpandSettings`."""
        settings = _settings(psi, label, noise)
        return Images(expand(self._inputs(), seeds, settings, ExpandSettings(**expansion), batch=batch))

    def blend(
        self,
        seeds: Iterable[Source],
        *,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        noise: NoiseKind = "const",
        **blending: Any,
    ) -> Rendered:
        """One image in which several are blended; ``blending``: see :class:`sgkit.render.blend.BlendSettings`."""
        return blend(self._inputs(), seeds, _settings(psi, label, noise), BlendSettings(**blending))

    def shift(
        self,
        seeds: Source | Iterable[Source],
        *,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        noise: NoiseKind = "const",
        parts_of: Source | Iterable[Source] = (),
        batch: int = 8,
        **shifting: Any,
    ) -> Images:
        """Images with parts moved; ``shifting``: see :class:`sgkit.render.shift.ShiftSettings`."""
        settings, moved = _settings(psi, label, noise), ShiftSettings(**shifting)
        return Images(shift(self._inputs(), seeds, settings, moved, parts_of=parts_of, batch=batch))

    def directions(self, method: Method = "sefa", **settings: Any) -> Directions:
        """Directions in latent space; ``settings``: those of :class:`sgkit.tasks.directions.FindSettings`, and
        ``labels``, ``latents``, ``plus`` and ``minus`` of :func:`sgkit.tasks.directions.find_directions`.
        """
        from sgkit.tasks.directions import FindSettings, find_directions

        given = {key: settings.pop(key) for key in ("labels", "latents", "plus", "minus") if key in settings}
        return find_directions(self._inputs(), FindSettings(method=method, **settings), **given)

    def edit(
        self,
        seeds: Source | Iterable[Source],
        moves: Sequence[AnyMove] = (),
        *,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        noise: NoiseKind = "const",
        batch: int = 8,
        **settings: Any,
    ) -> Images:
        """Images moved along directions, from before to after, row by row; see :func:`sgkit.render.edit.edit`.

        Args:
            seeds: seeds, latent files or latents.
            moves: ``(directions, name, strength)``, ``"night.safetensors=1"`` or ``"b16_conv1:42=5"``, all at once.
            psi: truncation.
            label: of conditional models.
            noise: the noise inputs.
            batch: images drawn at a time.
            settings: those of :class:`sgkit.render.edit.EditSettings`: steps, both, mask, layers ...
        """
        by = EditSettings(**settings)
        made = edit(self._inputs(), seeds, moves, _settings(psi, label, noise), by=by, batch=batch)
        return Images(one for row in made.rows for one in row)

    def transfer(
        self,
        sources: Source | Iterable[Source],
        references: Iterable[tuple[Source, str]],
        *,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        noise: NoiseKind = "const",
        batch: int = 8,
        **how: Any,
    ) -> Images:
        """Images with regions of others: ``model.transfer(3, [(7, "eyes"), (9, "box:0.3,0.6,0.7,0.9")])``.

        ``how``: see :class:`sgkit.render.transfer.TransferSettings`.
        """
        from sgkit.render.transfer import Reference, TransferSettings, transfer

        on = drawing(self._inputs(), _settings(psi, label, noise))
        pairs = [Reference(*one) for one in references]
        return Images(transfer(on, sources, pairs, TransferSettings(**how), batch=batch))

    def translate(
        self,
        target: Networks,
        seeds: Source | Iterable[Source],
        *,
        alpha: float | Iterable[float] = 1.0,
        styles: Source | Iterable[Source] | None = None,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        noise: NoiseKind = "const",
        batch: int = 8,
        **how: Any,
    ) -> Images:
        """Images of this model in the domain of ``target``, which was fine-tuned from it.

        ``how``: see :class:`sgkit.render.translate.TranslateSettings`.
        """
        from sgkit.render.translate import BASE, TARGET, TranslateSettings, translate

        paths = {BASE: self.path, TARGET: getattr(target, "path", None)}
        inputs = Inputs({BASE: self, TARGET: target}, path=paths)
        alphas = (float(alpha),) if isinstance(alpha, (int, float)) else tuple(alpha)
        settings, drawn = TranslateSettings(alphas=alphas, **how), _settings(psi, label, noise)
        return Images(translate(inputs, seeds, settings, drawn, styles=styles, batch=batch))

    def drag(
        self,
        seed: Source,
        points: Sequence[tuple[tuple[float, float], tuple[float, float]]],
        *,
        psi: float | Sequence[float] = 1.0,
        label: LabelChoice | None = None,
        mask: str | None = None,
        **settings: Any,
    ) -> Latents:
        """The latent of an image with handle points dragged to targets; see :func:`sgkit.inversion.drag_latents`.

        Args:
            seed: a seed, latent file or latents, of one image.
            points: pairs of a handle and its target, (x, y) in pixels.
            psi: truncation.
            label: of conditional models.
            mask: a shape; only there the image may change.
            settings: those of :class:`sgkit.inversion.DragSettings`: steps, layer, space ...
        """
        from sgkit.inversion import DragSettings, drag_latents

        given = DragSettings(**settings)
        return drag_latents(self._inputs(), seed, points, given, _settings(psi, label), mask=mask)[0]

    def project(self, images: str | Path | Iterable[str | Path], **settings: Any) -> Latents:
        """Latents of image files, with noise maps; ``settings``: see :class:`sgkit.inversion.ProjectSettings`."""
        from sgkit.inversion import ProjectSettings, project

        return project(self, images, ProjectSettings(**settings))[0]

    def _inputs(self) -> Inputs:
        return Inputs(self, path=self.path)

    def __repr__(self) -> str:
        height, width = self.image_size
        return f"<sgkit.Model {self.config.synthesis.layer} {width}x{height}, {self.info.kimg:g} kimg, {self.device}>"


def load(path: str | Path, *, device: torch.device | str = "cpu", image_size: int | None = None) -> Model:
    """The model in a file, a run folder or a foreign checkpoint, or the packaged one of that name (``"landscapes"``).

    See :func:`sgkit.checkpoint.load`.
    """
    found = checkpoint.load(path, device=device, image_size=image_size)
    model = Model(found.config, found.generator, found.discriminator, found.raw_generator, found.info)
    model.path = Path(path)
    return model


def _settings(
    psi: float | Sequence[float],
    label: LabelChoice | None,
    noise: NoiseKind = "const",
    precision: Precision = "fp32",
    cutoff: int | None = None,
) -> DrawSettings:
    return DrawSettings(truncation_psi=psi, truncation_cutoff=cutoff, label=label, noise=noise, precision=precision)
