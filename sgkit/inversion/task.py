"""Projections of many pictures: searched in batches, written to a folder each, resumable."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from sgkit.config.project import ProjectSettings
from sgkit.errors import InputError, UsageError
from sgkit.inversion.curve import draw_curve
from sgkit.inversion.optimize import Projection, search
from sgkit.inversion.targets import Picture, SeenMask, Target, read_targets, seen_mask, target_images
from sgkit.latents.spaces import Latents, save_latents
from sgkit.model import Model
from sgkit.model.labels import LabelChoice, label_vector
from sgkit.render.files import scene_text
from sgkit.render.inputs import Inputs, latents_hash
from sgkit.render.pictures import arrange, to_pixels, write_png
from sgkit.render.scene import MODEL, Alone, LatentRef, ModelRef, Photo, Scene, Sheet, Subject
from sgkit.render.sheets import shown
from sgkit.runtime.files import atomic_directory
from sgkit.runtime.path_checks import LATENT
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

METRICS = "metrics.json"
SHOWN_SIDE = 256
"""Side-by-side pictures of small models are enlarged by whole factors to about this height."""


@dataclass(frozen=True, kw_only=True)
class ProjectedImage:
    """The outcome for one picture; also the content of its ``metrics.json``."""

    name: str
    source: str
    adapted: str | None
    """What was done to make the picture fit the model; ``None``: nothing."""
    distance: float
    """By the loss that was minimised."""
    start_distance: float
    """That of the mean of w."""
    mse: float
    """Mean squared error of the pixels, of a range of 0 to 1."""
    psnr: float
    """Peak signal-to-noise ratio in decibels."""
    best_step: int
    steps: int
    seconds: float
    """Time that the search took, divided by the pictures of its batch."""
    settings: dict[str, Any]
    label: list[float] | None
    target_hash: str
    model_hash: str
    ssim: float | None = None
    """Structural similarity; ``None``: the projection is of a version that did not measure it."""
    prior: float | None = None
    """Squared distance by the prior; ``None``: without one."""
    mask: str | None = None
    """Where the image was compared: a shape, or a mask's file by content; ``None``: everywhere."""


@dataclass(frozen=True, kw_only=True)
class ProjectResult:
    """What was written."""

    folder: Path
    images: tuple[ProjectedImage, ...]
    """All pictures, in the order given; those that were finished before, too."""
    num_skipped: int
    """Pictures that were finished before."""
    seconds: float


def project(
    model: Model,
    paths: Picture | Iterable[Picture],
    settings: ProjectSettings | None = None,
    *,
    label: LabelChoice | None = None,
    mask: str | None = None,
    precision: ResolvedPrecision = "fp32",
) -> tuple[Latents, Projection]:
    """The latents of the pictures in ``paths``, with their noise maps, ready to be saved; and what the search found.

    Raises:
        InputError: a picture cannot be read.
        UsageError: label or loss do not fit the model.
    """
    settings, targets = settings or ProjectSettings(), list(read_targets(paths, model))
    found = search(
        model,
        target_images(targets, model),
        settings,
        label=label_vector(model, label),
        mask=None if mask is None else seen_mask(mask, Inputs(model), model).weights,
        precision=precision,
    )
    names = tuple(target.name for target in targets)
    return found.latents(model_hash=model.content_hash(), names=names), found


def project_files(
    model: Model | Inputs,
    paths: str | Path | Iterable[str | Path],
    folder: str | Path,
    settings: ProjectSettings | None = None,
    *,
    label: LabelChoice | None = None,
    mask: str | None = None,
    batch: int = 4,
    precision: ResolvedPrecision = "fp32",
    on_progress: OnProgress = ignore_progress,
) -> ProjectResult:
    """Project every picture and write a folder for each below ``folder``; finished ones are skipped.

    A picture's folder appears when all of it is there: ``latent.npz``, ``projection.png``, ``target.png``,
    ``comparison.png`` (target, projection), ``loss.png`` and ``metrics.json``.

    Args:
        model: the model whose latents are searched.
        paths: image files; folders, archives or stores of images.
        folder: where to write; made when missing.
        settings: how to search.
        label: for a conditional model.
        mask: where pictures are compared: a shape, or an image file, white there and black where they are free.
        batch: pictures searched at a time.
        precision: of the networks' passes.
        on_progress: told of every step.

    Raises:
        InputError: a picture cannot be read; or a folder holds another projection, or something else.
        UsageError: label, loss or batch do not fit.
    """
    if batch < 1:
        raise UsageError(f"batch is {batch}; it must be 1 or more.")
    settings, began = settings or ProjectSettings(), time.perf_counter()
    inputs = model if isinstance(model, Inputs) else Inputs(model)
    model = inputs.only
    seen = None if mask is None else seen_mask(mask, inputs, model)
    job = _Job(model, Path(folder), settings, label_vector(model, label), precision, inputs.reference(model), seen)
    targets = list(read_targets(paths, model))
    done = {target.name: image for target in targets if (image := job.finished(target)) is not None}
    num_skipped = len(done)
    pending = [target for target in targets if target.name not in done]
    chunks = [pending[start : start + batch] for start in range(0, len(pending), batch)]
    for index, chunk in enumerate(chunks):
        names = chunk[0].name if len(chunk) == 1 else f"{chunk[0].name} to {chunk[-1].name}"

        def report(step: int, distances: Tensor, names: str = names, before: int = index * settings.steps) -> None:
            shown = {"image": names, "distance": f"{distances.mean().item():.4f}"}
            total = len(chunks) * settings.steps  # no stages, so that the time left is that of all images
            on_progress(Progress(done=before + step + 1, total=total, unit="steps", fields=shown))

        done |= {image.name: image for image in job.run(chunk, report)}
    return ProjectResult(
        folder=Path(folder),
        images=tuple(done[target.name] for target in targets),
        num_skipped=num_skipped,
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class _Job:
    """What all pictures of one call share."""

    model: Model
    folder: Path
    settings: ProjectSettings
    label: Tensor | None
    precision: ResolvedPrecision
    reference: ModelRef
    mask: SeenMask | None

    def finished(self, target: Target) -> ProjectedImage | None:
        """The outcome of an earlier call for the same picture, model and settings; ``None``: there is none.

        Raises:
            InputError: the picture's folder holds something else.
        """
        folder = self.folder / target.name
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return None
        try:
            found = ProjectedImage(**json.loads((folder / METRICS).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise InputError(
                f"{folder} exists, but is not a projection. Choose a different --out, or remove that folder."
            ) from None
        before = asdict(ProjectSettings())  # of projections made before there was such a setting
        for what, old, new in (
            ("image", found.target_hash, target.pixel_hash),
            ("model", found.model_hash, str(self.reference.hash)),
            ("label", found.label, self._plain_label()),
            ("mask", found.mask, None if self.mask is None else self.mask.name),
            *((name, found.settings.get(name, before[name]), value) for name, value in asdict(self.settings).items()),
        ):
            if old != new:
                raise InputError(
                    f"{folder} holds a projection with a different {what} ({old}, not {new}). "
                    "Choose a different --out, or remove that folder."
                )
        return found

    def run(self, targets: list[Target], on_step: Callable[[int, Tensor], None]) -> Iterator[ProjectedImage]:
        """Search the pictures together and write their folders."""
        began = time.perf_counter()
        images = target_images(targets, self.model)
        found = search(
            self.model,
            images,
            self.settings,
            label=self.label,
            mask=None if self.mask is None else self.mask.weights,
            precision=self.precision,
            on_step=on_step,
        )
        seconds = (time.perf_counter() - began) / len(targets)
        for index, target in enumerate(targets):
            outcome = self._outcome(target, found, index, seconds)
            with atomic_directory(self.folder / target.name) as aside:
                self._write(aside, target, found, index, outcome)
            yield outcome

    def _outcome(self, target: Target, found: Projection, index: int, seconds: float) -> ProjectedImage:
        mse = found.pixel_errors[index].item() / 4  # from a range of 2 to one of 1
        return ProjectedImage(
            name=target.name,
            source=target.source,
            adapted=target.adapted,
            distance=found.distances[index].item(),
            start_distance=found.start_distances[index].item(),
            mse=mse,
            psnr=-10 * math.log10(max(mse, 1e-12)),
            best_step=int(found.best_steps[index]),
            steps=int(found.num_steps[index]),
            seconds=seconds,
            settings=asdict(self.settings),
            label=self._plain_label(),
            target_hash=target.pixel_hash,
            model_hash=str(self.reference.hash),
            ssim=found.similarities[index].item(),
            prior=None if self.settings.prior == "none" else found.priors[index].item(),
            mask=None if self.mask is None else self.mask.name,
        )

    def _write(self, folder: Path, target: Target, found: Projection, index: int, outcome: ProjectedImage) -> None:
        latents = replace(found.latents()[index], model_hash=str(self.reference.hash), names=(target.name,))
        save_latents(latents, folder / LATENT)
        write_png(target.pixels, folder / "target.png")
        scene = self._scene(latents, len(found.images))
        projection = to_pixels(found.images[index : index + 1])[0]
        write_png(projection, folder / "projection.png", text=scene_text(Sheet(scenes=(scene,))))
        digest = hashlib.sha256((folder / "target.png").read_bytes()).hexdigest()
        scale = max(round(SHOWN_SIDE / target.pixels.shape[0]), 1)
        photo = Photo(photo="target.png", hash=digest)
        sheet = Sheet(scenes=(photo, scene), columns=2, gap=4 * scale, scale=scale)
        sides = [shown(pixels, sheet) for pixels in (target.pixels, projection)]
        write_png(arrange(sides, (2, 1), gap=sheet.gap), folder / "comparison.png", text=scene_text(sheet))
        title = f"{target.name}: distance by {self.settings.loss}"
        curve = draw_curve(found.history[: outcome.steps, index].tolist(), title=title, mark=outcome.best_step)
        write_png(curve, folder / "loss.png")
        (folder / METRICS).write_text(json.dumps(asdict(outcome), indent=2) + "\n", encoding="utf-8")

    def _scene(self, latents: Latents, together: int) -> Scene:
        """What makes the projection again from its latent file, beside which it is."""
        (name,) = latents.names
        source = LatentRef(latent=LATENT, hash=latents_hash(latents))
        return Scene(
            models={MODEL: self.reference},
            subjects={name: Subject(source=source, batch=together)},
            arrangement=Alone(of=name),
            precision=self.precision,
            batch=together,
        )

    def _plain_label(self) -> list[float] | None:
        return None if self.label is None else self.label[0].tolist()
