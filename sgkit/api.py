"""The Python interface for everyday use: ``model = sgkit.load(path)``, then ``model.generate(seeds=range(4))``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from sgkit import checkpoint
from sgkit.config.words import Precision
from sgkit.errors import UsageError
from sgkit.latents.sources import Source
from sgkit.model import Encoder
from sgkit.model import Model as Networks
from sgkit.model.inputs import as_device
from sgkit.model.labels import LabelChoice, LabelChoices
from sgkit.render.blend import BlendSettings, blend
from sgkit.render.drawing import DrawSettings, drawing
from sgkit.render.edit import AnyMove, EditSettings, edit
from sgkit.render.expand import ExpandSettings, expand
from sgkit.render.generate import generate
from sgkit.render.images import Film, Images
from sgkit.render.inputs import Inputs
from sgkit.render.interpolate import Interpolation, interpolation_sheet
from sgkit.render.mix import mix
from sgkit.render.panorama import panorama
from sgkit.render.panorama_scene import PanoramaSettings
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Layers, NoiseKind, Scene
from sgkit.render.shift import ShiftSettings, shift

if TYPE_CHECKING:
    from sgkit.inversion.targets import Picture
    from sgkit.latents.directions import Directions
    from sgkit.latents.spaces import Latents
    from sgkit.tasks.directions import Method


Number = float
"""Inside :class:`Model`, ``float`` is a method."""
Psi = float | Sequence[float]


class Model(Networks):
    """A model as :func:`load` gives it: the networks, and what is done with them."""

    path: Path | None = None
    """Where it was loaded from."""

    def render(self, scenes: Scene | Iterable[Scene], *, batch: int = 8) -> Images:
        """Images of scenes; see :func:`sgkit.render.render.render`."""
        return Images(render(scenes, self._inputs(), batch=batch))

    def generate(
        self,
        seeds: Source | Iterable[Source] = range(16),
        *,
        psi: Psi = 1.0,
        psi_cutoff: int | None = None,
        label: LabelChoices | None = None,
        translate: tuple[Number, Number] = (0.0, 0.0),
        rotate: Number = 0.0,
        noise: NoiseKind = "const",
        precision: Precision = "fp32",
        batch: int = 8,
    ) -> Images:
        """Images from seeds, latent files or latents; see :func:`sgkit.render.generate.generate`.

        Args:
            seeds: ``3``, ``range(4)``, ``"0-3,7"``, an array; latent files and latents; z [N, z_dim] or w+
                [N, num_ws, w_dim] as tensors or arrays.
            psi: truncation: 1 keeps full variety, 0.5-0.8 gives cleaner but more similar images.
            psi_cutoff: truncate only this many w, from the first on.
            label: of conditional models: a class by number or name, a label vector, ``"random"``, or a list of classes.
            translate: StyleGAN3: how far right and down, in fractions of the image's width and height.
            rotate: StyleGAN3: degrees counter-clockwise.
            noise: ``const``, ``random`` or ``none``.
            precision: number format.
            batch: images drawn at a time.
        """
        settings = _settings(psi, label, noise, precision, psi_cutoff, translate=translate, rotate=rotate)
        return Images(generate(self._inputs(), seeds, settings, batch=batch))

    def mix(
        self,
        rows: Source | Iterable[Source],
        cols: Source | Iterable[Source],
        *,
        layers: Layers = "coarse",
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
        batch: int = 8,
    ) -> Images:
        """Every row's image with every column's styles at ``layers``, row by row; see :func:`sgkit.render.mix.mix`."""
        found = mix(self._inputs(), rows, cols, _settings(psi, label), layers=layers, batch=batch)
        return Images(one for row in found.cells for one in row)

    def interpolate(
        self,
        seeds: Source | Iterable[Source] = range(4),
        *,
        frames: int = 120,
        grid: tuple[int, int] = (1, 1),
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
        noise: NoiseKind = "const",
        batch: int = 8,
        **curve: Any,
    ) -> Film:
        """An animation whose frames, uint8 [H, W, C], are drawn as they are asked for, and which saves itself.

        ``curve``: space, path, smooth and loop, see :class:`sgkit.render.interpolate.Interpolation`.
        """
        on = drawing(self._inputs(), _settings(psi, label, noise))
        origins, by = list(on.origins(seeds)), Interpolation(**curve)
        return Film(interpolation_sheet(on, origins, by, frames=frames, grid=grid, batch=batch), on.inputs)

    def panorama(
        self,
        seeds: Source | Iterable[Source] = range(5),
        *,
        wrap: bool | Literal["none", "x", "y", "both"] = False,
        smooth: Number = 0.0,
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
        noise: NoiseKind = "const",
        seed: int = 0,
        **settings: Any,
    ) -> Rendered:
        """Images in a line or a grid that blend into each other.

        Args:
            seeds: seeds, latent files or latents, in order.
            wrap: make the ends join; ``"both"``: along both axes.
            smooth: width of the Gaussian by which neighbouring z are averaged.
            psi: truncation.
            label: of conditional models.
            noise: ``const``, ``random`` or ``none``.
            seed: of random noise.
            settings: width, height, vertical, grid, overlap ...: see
                :class:`sgkit.render.panorama_scene.PanoramaSettings`.
        """
        if isinstance(wrap, bool):
            wrap = ("y" if settings.get("vertical") else "x") if wrap else "none"
        by = PanoramaSettings(wrap=wrap, smoothing=smooth, noise_seed=seed, **settings)
        return panorama(self._inputs(), seeds, _settings(psi, label, noise), by).rendered

    def expand(
        self,
        seeds: Source | Iterable[Source],
        *,
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
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
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
        noise: NoiseKind = "const",
        **blending: Any,
    ) -> Rendered:
        """One image in which several are blended; ``blending``: see :class:`sgkit.render.blend.BlendSettings`."""
        return blend(self._inputs(), seeds, _settings(psi, label, noise), BlendSettings(**blending))

    def shift(
        self,
        seeds: Source | Iterable[Source],
        *,
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
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
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
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
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
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
        alpha: Number | Iterable[Number] = 1.0,
        styles: Source | Iterable[Source] | None = None,
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
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
        points: Sequence[tuple[tuple[Number, Number], tuple[Number, Number]]],
        *,
        psi: Psi = 1.0,
        label: LabelChoices | None = None,
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

    def project(
        self,
        images: Picture | Iterable[Picture],
        *,
        label: LabelChoice | None = None,
        mask: str | None = None,
        encoder: str | Path | Encoder | None = None,
        **settings: Any,
    ) -> Latents:
        """Latents of images, with noise maps: ``model.generate(model.project("me.jpg"))`` shows what was found.

        Args:
            images: files or folders; Pillow images; pixels, uint8 [H, W, C]; or several.
            label: of conditional models; ``search``: for each image the class that suits it best.
            mask: a shape; only what is in it is compared.
            encoder: what the search starts from: a file that ``sgkit encoder train`` made, or what is loaded from it.
            settings: see :class:`sgkit.inversion.ProjectSettings`: steps (0: the encoder's latents), space, loss ...
        """
        from sgkit.inversion import ProjectSettings, load_encoder, project

        start = load_encoder(encoder, self) if isinstance(encoder, (str, Path)) else encoder
        return project(self, images, ProjectSettings(**settings), label=label, mask=mask, encoder=start)[0]

    def tune(
        self,
        projections: str | Path | Iterable[str | Path],
        *,
        out: str | Path,
        overwrite: bool = False,
        **settings: Any,
    ) -> Model:
        """This model tuned to projected images, whose weights are written to ``out``: pivotal tuning.

        Args:
            projections: folders that ``sgkit project`` (:func:`sgkit.inversion.project_files`) wrote.
            out: the file of tuned weights, with which ``sgkit.load("MODEL+OUT")`` gives the tuned model again.
            overwrite: replace an older file.
            settings: see :class:`sgkit.config.tune.TuneSettings`: steps, lr, locality, rank ...
        """
        from sgkit.checkpoint.deltas import with_delta
        from sgkit.config.tune import TuneSettings
        from sgkit.inversion.tune_task import tune_files

        tune_files(self, projections, out, TuneSettings(**settings), overwrite=overwrite)
        return _at(None if self.path is None else Path(f"{self.path}+{out}"), with_delta(self, out))

    def save(self, path: str | Path) -> None:
        """Write a model file; see :func:`sgkit.save`."""
        checkpoint.save(self, path)

    def _inputs(self) -> Inputs:
        return Inputs(self, path=self.path)

    def __repr__(self) -> str:
        height, width = self.image_size
        return f"<sgkit.Model {self.config.synthesis.layer} {width}x{height}, {self.info.kimg:g} kimg, {self.device}>"


def load(path: str | Path, *, device: torch.device | str = "cpu", image_size: int | None = None) -> Model:
    """The model in a file, a run folder or a foreign checkpoint, or the packaged one of that name (``"landscapes"``).

    See :func:`sgkit.checkpoint.load`.

    Raises:
        UsageError: ``path`` is not text or a path, or the device is unknown.
        InputError: no model is at ``path``; the message says what is there.
        CheckpointError: it cannot be read.
    """
    if not isinstance(path, (str, Path)):
        raise UsageError(
            f"A model is loaded by name or path; {path!r} is of type {type(path).__name__}. Give a file, the folder of "
            "a training run, or 'landscapes'."
        )
    return _at(Path(path), checkpoint.load(path, device=as_device(device), image_size=image_size))


def _at(path: Path | None, found: Networks) -> Model:
    """``found`` with the methods of users, from ``path``."""
    model = Model(found.config, found.generator, found.discriminator, found.raw_generator, found.info)
    model.path = path
    return model


def _settings(
    psi: Psi,
    label: LabelChoices | None,
    noise: NoiseKind = "const",
    precision: Precision = "fp32",
    cutoff: int | None = None,
    **place: Any,
) -> DrawSettings:
    return DrawSettings(
        truncation_psi=psi, truncation_cutoff=cutoff, label=label, noise=noise, precision=precision, **place
    )
