"""What all images of one projection share: how they are searched, and how the folder of each is written."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from sgkit.config.project import ProjectSettings
from sgkit.inversion.classes import rows_by_class, search_classes
from sgkit.inversion.curve import draw_curve
from sgkit.inversion.encoder_file import encoded
from sgkit.inversion.film import Film
from sgkit.inversion.measures import measured
from sgkit.inversion.optimize import Projection, search
from sgkit.inversion.results import METRICS, ProjectedImage, check_same, read_outcome
from sgkit.inversion.targets import Fitting, SeenMask, Target, target_images
from sgkit.latents.files import load_latents
from sgkit.latents.spaces import Latents, save_latents
from sgkit.model import Encoder, Model, content_hash
from sgkit.render.files import scene_text
from sgkit.render.inputs import latents_hash
from sgkit.render.pictures import arrange, to_pixels, write_png
from sgkit.render.scene import MODEL, Alone, LatentRef, ModelRef, Photo, Scene, Sheet, Subject
from sgkit.render.sheets import shown
from sgkit.runtime.files import atomic_directory
from sgkit.runtime.path_checks import LATENT
from sgkit.runtime.precision import ResolvedPrecision

SHOWN_SIDE = 256
"""Side-by-side images of small models are enlarged by whole factors to about this height."""
OnStep = Callable[[int, Tensor], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all images of one call share."""

    model: Model
    folder: Path
    settings: ProjectSettings
    label: Tensor | None
    choose: bool
    """Whether each image gets the class that suits it best."""
    precision: ResolvedPrecision
    reference: ModelRef
    mask: SeenMask | None
    fitting: Fitting
    encoder: Encoder | None
    """What the searches start from; ``None``: the middle of the distribution."""
    video: str | None
    """Extension of the animation of each search, without its point; ``None``: there is none."""
    label_name: str | None = None
    """Of the class that was chosen."""

    @property
    def _weights(self) -> Tensor | None:
        """Of the mask."""
        return None if self.mask is None else self.mask.weights

    @property
    def _mask_name(self) -> str | None:
        return None if self.mask is None else self.mask.name

    @cached_property
    def _encoder_hash(self) -> str | None:
        return None if self.encoder is None else content_hash(self.encoder)

    def finished(self, name: str) -> ProjectedImage | None:
        """The outcome of an earlier call for the same model and settings; ``None``: there is none.

        Raises:
            InputError: the image's folder holds something else.
        """
        folder = self.folder / name
        found = read_outcome(folder)
        if found is None:
            return None
        wanted = {
            "model_hash": self.reference.hash,
            "class_search": self.choose,
            "mask": self._mask_name,
            "crop": self.fitting.crop,
            "precision": self.precision,
            "encoder": self._encoder_hash,
        } | ({} if self.choose else {"label": self._plain_label()})
        check_same(found, folder, wanted, self.settings)
        return found

    def run(
        self,
        targets: Sequence[Target],
        on_step: OnStep,
        previous: Path | None = None,
        on_class: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Iterator[ProjectedImage]:
        """Search the images together and write their folders; ``previous``: that of the frame before.

        ``on_class`` is called while classes are searched: how many comparisons were made, of how many.
        """
        images = target_images(targets, self.model)
        groups = self._by_label(images, on_class)
        for number, (label, rows) in enumerate(groups):
            part = self if label is None else self._of_class(label)

            def report(step: int, distances: Tensor, number: int = number) -> None:
                on_step((number * self.settings.steps + step) // len(groups), distances)

            yield from part._searched([targets[row] for row in rows], images[rows], report, previous)

    def _of_class(self, number: int) -> Job:
        names = self.model.class_names
        name = names[number] if number < len(names) else str(number)
        return replace(self, label=self.model.one_hot([number]), label_name=name)

    def _by_label(self, images: Tensor, on_class: Callable[[int, int], None]) -> Sequence[tuple[int | None, list[int]]]:
        """Each class that was found, and the rows of its images; ``None``: classes are not searched."""
        if not self.choose:
            return [(None, list(range(len(images))))]
        classes = search_classes(
            self.model, images, self.settings, mask=self._weights, precision=self.precision, on_class=on_class
        )
        return list(rows_by_class(classes).items())

    def _searched(
        self, targets: Sequence[Target], images: Tensor, on_step: OnStep, previous: Path | None
    ) -> Iterator[ProjectedImage]:
        began = time.perf_counter()
        settings = self.settings if previous is None else self.settings.of_next_frame
        film = Film(images, settings.steps) if self.video else None
        found = search(
            self.model,
            images,
            settings,
            label=self.label,
            mask=self._weights,
            start=encoded(self.encoder, images),
            previous=None if previous is None else load_latents(previous, model=self.model),
            precision=self.precision,
            on_step=on_step,
            watch=None if film is None else film.watch,
        )
        seconds = (time.perf_counter() - began) / len(targets)
        measures = measured(found.images, images, self.model)
        for index, target in enumerate(targets):
            outcome = self._outcome(target, found, index, seconds)
            outcome = replace(outcome, measures={name: values[index].item() for name, values in measures.items()})
            with atomic_directory(self.folder / target.name) as temporary:
                self._write(temporary, target, found, index, outcome)
                if film is not None:
                    film.write(index, found.images[index : index + 1], temporary / f"search.{self.video}")
            yield outcome

    def _outcome(self, target: Target, found: Projection, index: int, seconds: float) -> ProjectedImage:
        mse = found.pixel_errors[index].item() / 4  # from a range of 2 to one of 1
        prior = None if self.settings.prior == "none" else found.priors[index].item()
        return ProjectedImage(
            name=target.name,
            source=target.source,
            adapted=target.adapted,
            distance=found.distances[index].item(),
            start_distance=found.start_distances[index].item(),
            mse=mse,
            psnr=-10 * math.log10(max(mse, 1e-10)),
            best_step=int(found.best_steps[index]),
            steps=int(found.num_steps[index]),
            seconds=seconds,
            settings=asdict(self.settings),
            label=self._plain_label(),
            target_hash=target.pixel_hash,
            model_hash=str(self.reference.hash),
            ssim=found.similarities[index].item(),
            prior=prior,
            log_likelihood=None if prior is None else -prior / 2,
            mask=self._mask_name,
            terms={name: values[index].item() for name, values in found.terms.items()},
            precision=self.precision,
            crop=self.fitting.crop,
            encoder=self._encoder_hash,
            class_search=self.choose,
            label_name=self.label_name,
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
        if outcome.steps:
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
