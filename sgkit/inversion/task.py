"""Projections of many images: searched in batches by one process or several, a folder for each, resumable."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from sgkit.config.project import ProjectSettings, VideoName
from sgkit.errors import InputError, SgkitError, UsageError
from sgkit.inversion.classes import SEARCH, check_classes, search_in_classes
from sgkit.inversion.encoder_file import encoded
from sgkit.inversion.job import Job
from sgkit.inversion.network_losses import fetch_networks
from sgkit.inversion.optimize import Projection, search
from sgkit.inversion.report import write_report
from sgkit.inversion.results import METRICS, ProjectedImage, ProjectResult, UnusableImage, check_same
from sgkit.inversion.targets import (
    Fitting,
    Listed,
    Picture,
    Target,
    check_sources,
    list_targets,
    read_target,
    read_targets,
    seen_mask,
    target_images,
)
from sgkit.latents.spaces import Latents
from sgkit.model import Encoder, Model
from sgkit.model.labels import LabelChoice, label_vector
from sgkit.render.inputs import Inputs
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.locks import LockedError, exclusive
from sgkit.runtime.outputs import check_animation
from sgkit.runtime.path_checks import one_or_many
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

LOCK = ".project.lock"
"""In the folder of results while a call writes there."""
T = TypeVar("T")
_CALLS = itertools.count()


def project(
    model: Model,
    paths: Picture | Iterable[Picture],
    settings: ProjectSettings | None = None,
    *,
    label: LabelChoice | None = None,
    mask: str | None = None,
    encoder: Encoder | None = None,
    precision: ResolvedPrecision = "fp32",
) -> tuple[Latents, Projection]:
    """The latents of the images in ``paths``, with their noise maps, ready to be saved; and what the search found.

    Raises:
        InputError: an image cannot be read.
        UsageError: label or loss do not fit the model.
    """
    settings, targets = settings or ProjectSettings(), list(read_targets(paths, model))
    images = target_images(targets, model)
    weights = None if mask is None else seen_mask(mask, Inputs(model), model).weights
    more: dict[str, Any] = {"mask": weights, "start": encoded(encoder, images), "precision": precision}
    if _is_search(label, model):
        found = search_in_classes(model, images, settings, **more)
    else:
        found = search(model, images, settings, label=label_vector(model, label), **more)
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
    encoder: Encoder | None = None,
    fitting: Fitting | None = None,
    video: VideoName | None = None,
    batch: int = 4,
    precision: ResolvedPrecision = "fp32",
    context: DistributedContext | None = None,
    command: str = "",
    on_progress: OnProgress = ignore_progress,
) -> ProjectResult:
    """Project every image and write a folder for each below ``folder``; finished ones are skipped.

    An image's folder appears when all of it is there: ``latent.npz``, ``projection.png``, ``target.png``,
    ``comparison.png`` (target, projection), ``loss.png``, ``metrics.json`` and, if asked for, ``search.mp4``. Several
    images also get ``report.html``. An image that cannot be read is left out and named in the result.

    Args:
        model: the model whose latents are searched.
        paths: image files; folders, archives or stores of images.
        folder: where to write; made when missing.
        settings: how to search.
        label: for a conditional model; ``search``: for each image the class that suits it best.
        mask: where images are compared: a shape, or an image file, white there and black where they are free.
        encoder: what the searches start from; see :func:`sgkit.inversion.load_encoder`.
        fitting: how images are brought to the model's size.
        video: also write an animation of each search, of this format.
        batch: images searched at a time.
        precision: of the networks' passes.
        context: the processes that share the images; every one gets the whole result.
        command: what was typed, for the report.
        on_progress: told of every step.

    Raises:
        InputError: an image is missing; or a folder holds another projection, or something else; or another
            process writes there.
        UsageError: label, loss or batch do not fit.
        WeightsError: the loss needs weights that cannot be downloaded.
    """
    if batch < 1:
        raise UsageError(f"batch is {batch}; it must be 1 or more.")
    began, folder, context = time.perf_counter(), Path(folder), context or DistributedContext()
    settings, fitting, inputs = settings or ProjectSettings(), fitting or Fitting(), _inputs(model)
    if video is not None:
        check_animation(Path(f"search.{video}"), fps=1)
    fitting.check(inputs.only.image_size)
    choose = _is_search(label, inputs.only)
    job = Job(
        model=inputs.only,
        folder=folder,
        settings=settings,
        label=None if choose else label_vector(inputs.only, label),
        choose=choose,
        precision=precision,
        reference=inputs.reference(inputs.only),
        mask=None if mask is None else seen_mask(mask, inputs, inputs.only),
        encoder=encoder,
        fitting=fitting,
        video=video,
    )
    given = [one for one in one_or_many(paths) if isinstance(one, (str, Path))]
    check_sources(given, folder)
    listed = list_targets(paths, inputs.only.image_size)
    with ExitStack() as stack:
        _by_main(context, lambda: stack.enter_context(_locked(folder)))
        before, unusable = _by_main(context, lambda: _finished(job, listed))
        left_out = {one.source for one in unusable}
        usable = [one for one in listed if one.source not in left_out]
        if any(one.name not in before for one in usable):
            _by_main(context, lambda: fetch_networks(settings.terms(), on_progress))
        images, more = _shared(job, usable, before.keys(), batch, context, on_progress)
        found = {image.name: image for image in [*before.values(), *images]}
        result = ProjectResult(
            folder=folder,
            images=tuple(found[one.name] for one in listed if one.name in found),
            num_skipped=len(before),
            seconds=time.perf_counter() - began,
            unusable=(*unusable, *more),
        )
        if len(result.images) < 2:
            return result
        return replace(result, report=_by_main(context, lambda: write_report(result, settings, command)))


def _is_search(label: LabelChoice | None, model: Model) -> bool:
    """Whether ``label`` asks for the best class, and is not the name of one.

    Raises:
        UsageError: it does, and the model has no classes.
    """
    choose = label == SEARCH and SEARCH not in model.class_names
    if choose:
        check_classes(model)
    return choose


def _inputs(model: Model | Inputs) -> Inputs:
    return model if isinstance(model, Inputs) else Inputs(model)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other calls from writing into the folder."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file. Give --out the name of a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(folder / LOCK):
            yield
    except LockedError as error:
        raise InputError(
            f"{folder} is being written by {error.holder}. Wait until it has finished, choose a different --out, or "
            "share the images with: torchrun --nproc-per-node N -m sgkit project ..."
        ) from None
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def _by_main(context: DistributedContext, compute: Callable[[], T]) -> T:
    """What the main process computes, for all; an error of it is raised by all."""
    value: T | None = None
    error: SgkitError | None = None
    if context.is_main:
        try:
            value = compute()
        except SgkitError as caught:
            error = caught
    value, error = context.gather_objects((value, error))[0]
    if error is not None:
        raise error
    return value


def _finished(job: Job, listed: Sequence[Listed]) -> tuple[dict[str, ProjectedImage], list[UnusableImage]]:
    """The outcomes that are there already, by name, and what cannot be compared with its outcome.

    Raises:
        InputError: a folder holds a different projection.
    """
    found: dict[str, ProjectedImage] = {}
    unusable: list[UnusableImage] = []
    for one in listed:
        outcome = job.finished(one.name)
        target = None if outcome is None else _read(one, job)
        if isinstance(target, UnusableImage):
            unusable.append(target)
        elif outcome is not None and target is not None:
            check_same(outcome, job.folder / one.name, {"target_hash": target.pixel_hash}, job.settings)
            found[one.name] = outcome
    return found, unusable


def _shared(
    job: Job,
    listed: Sequence[Listed],
    before: Collection[str],
    batch: int,
    context: DistributedContext,
    on_progress: OnProgress,
) -> tuple[list[ProjectedImage], list[UnusableImage]]:
    """Project what is not in ``before``, by all processes: each takes the next batch when it has finished one."""
    is_film = job.settings.smooth is not None
    batches = _films(listed, before) if is_film else _batches([one for one in listed if one.name not in before], batch)
    images: list[ProjectedImage] = []
    unusable: list[UnusableImage] = []
    for number in context.claimed(f"project {next(_CALLS)}", len(batches)):
        told = _Told(number, len(batches), job.settings, on_progress)
        if is_film:
            _project_frames(job, batches[number], before, told, images, unusable)
        else:
            _project_batch(job, batches[number], None, told, images, unusable)
    parts = context.gather_objects((images, unusable))
    return [image for part, _ in parts for image in part], [one for _, part in parts for one in part]


def _batches(listed: Sequence[Listed], size: int) -> list[Sequence[Listed]]:
    return [listed[start : start + size] for start in range(0, len(listed), size)]


def _films(listed: Sequence[Listed], before: Collection[str]) -> list[Sequence[Listed]]:
    """The frames of each sequence that is not finished; all of them, since each starts from the one before."""
    films = [list(group) for _, group in itertools.groupby(listed, key=lambda one: one.sequence)]
    return [film for film in films if any(one.name not in before for one in film)]


def _project_frames(
    job: Job,
    film: Sequence[Listed],
    before: Collection[str],
    told: _Told,
    images: list[ProjectedImage],
    unusable: list[UnusableImage],
) -> None:
    previous: Path | None = None
    for index, one in enumerate(film):
        if one.name not in before:
            _project_batch(job, [one], previous, told.part(index, len(film)), images, unusable)
        folder = job.folder / one.name
        previous = folder if (folder / METRICS).is_file() else previous


def _project_batch(
    job: Job,
    listed: Sequence[Listed],
    previous: Path | None,
    told: _Told,
    images: list[ProjectedImage],
    unusable: list[UnusableImage],
) -> None:
    read = [_read(one, job) for one in listed]
    targets = [one for one in read if isinstance(one, Target)]
    unusable += [one for one in read if isinstance(one, UnusableImage)]
    if targets:
        names = [one.name for one in targets]
        images += job.run(targets, told.of(names), previous, told.classes(names))


def _read(listed: Listed, job: Job) -> Target | UnusableImage:
    try:
        return read_target(listed, job.model, job.fitting)
    except InputError as error:
        return UnusableImage(source=listed.source, reason=str(error).removeprefix(f"{listed.source} "))


@dataclass(frozen=True)
class _Told:
    """Where the progress of a batch is in that of the whole call: counted in steps, as if all batches took as many."""

    number: int
    count: int
    settings: ProjectSettings
    on_progress: OnProgress
    first: int = 0
    """Step of the batch that its part begins with: a film has parts."""

    def part(self, index: int, count: int) -> _Told:
        """That of one of several frames, which share the steps of a batch."""
        return replace(self, first=self.settings.steps * index // count)

    def classes(self, names: Sequence[str]) -> Callable[[int, int], None]:
        """What to call while the classes of the images called ``names`` are searched, before their first step."""

        def report(done: int, total: int) -> None:
            fields = {"image": _named(names), "comparing classes": f"{done} of {total}"}
            steps = self.settings.steps
            start = self.number * steps + self.first
            self.on_progress(Progress(done=start, total=self.count * steps, unit="steps", fields=fields))

        return report

    def of(self, names: Sequence[str]) -> Callable[[int, Tensor], None]:
        """What to call with each step of the images called ``names``."""
        shown = _named(names)
        steps = self.settings.steps

        def report(step: int, distances: Tensor) -> None:
            fields = {"image": shown, "distance": f"{distances.mean().item():.4f}"}
            done = min(self.number * steps + self.first + step + 1, (self.number + 1) * steps)
            # no stages, so that the time left is that of all images
            self.on_progress(Progress(done=done, total=self.count * steps, unit="steps", fields=fields))

        return report


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
