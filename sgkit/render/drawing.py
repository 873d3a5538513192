"""Scenes from what users give: sources of images and settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from sgkit.config.base import Config
from sgkit.config.words import Precision
from sgkit.errors import UsageError
from sgkit.latents.files import LatentSpace
from sgkit.latents.sources import Origin, Source, read_origins
from sgkit.model import Model
from sgkit.model.inputs import as_label, as_psi
from sgkit.model.labels import LabelChoices, class_list
from sgkit.render.inputs import Inputs
from sgkit.render.placement import MOST_ROTATION, MOST_TRANSLATION, Placement
from sgkit.render.scene import MODEL, Alone, Noise, NoiseKind, Scene, Subject


class DrawSettings(Config):
    """What turns latents into images, besides the latents."""

    label: Annotated[LabelChoices | None, BeforeValidator(as_label)] = None
    """For seeds; latents of the space z may bring their own. A list of classes gives each image in each class."""
    truncation_psi: Annotated[float | Sequence[float], BeforeValidator(as_psi)] = 1.0
    """One number, or one for each w of w+. Applies to seeds and z; w, w+ and s are taken as they are."""
    psi_strip: tuple[float, ...] = ()
    """Each image once with each of these truncations, in place of ``truncation_psi``."""
    truncation_cutoff: int | None = None
    """Truncate only this many w, from the first on; ``None``: all."""
    translate: tuple[float, float] = (0.0, 0.0)
    """StyleGAN3: moved right and down, in fractions of the image's width and height."""
    rotate: float = 0.0
    """StyleGAN3: turned about the centre, in degrees counter-clockwise, before it is moved."""
    noise: NoiseKind = "const"
    precision: Precision = "fp32"
    latent_space: LatentSpace = "auto"
    """What latents are whose file names no space."""

    @property
    def place(self) -> Placement | None:
        """Where images are on their canvas; ``None``: where the model puts them.

        Raises:
            UsageError: a distance or angle is out of range.
        """
        if not (any(self.translate) or self.rotate):
            return None
        if max(map(abs, self.translate)) > MOST_TRANSLATION or abs(self.rotate) > MOST_ROTATION:
            raise UsageError(
                f"translate is {self.translate[0]:g},{self.translate[1]:g} and rotate {self.rotate:g}; at most "
                f"{MOST_TRANSLATION} widths or heights and {MOST_ROTATION} degrees are allowed."
            )
        return Placement(translate=self.translate, rotate=self.rotate)

    @property
    def truncates(self) -> bool:
        """Whether any psi differs from 1."""
        psi = self.psi_strip or self.truncation_psi
        return any(value != 1 for value in (psi if isinstance(psi, Sequence) else [psi]))


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A model and settings, from which scenes are made."""

    inputs: Inputs
    model: Model
    settings: DrawSettings

    def origins(self, sources: Source | Iterable[Source]) -> Iterator[Origin]:
        """The origins of images in ``sources``, in order; see :func:`sgkit.latents.sources.read_origins`."""
        labels = class_list(self.model, self.settings.label)
        for origin in read_origins(sources, self.model, space=self.settings.latent_space):
            yield from origin.variants(labels, self.settings.psi_strip)

    @property
    def variants(self) -> int:
        """How many images a seed stands for: classes times truncations."""
        return max(len(class_list(self.model, self.settings.label)), 1) * max(len(self.settings.psi_strip), 1)

    def subject(self, origin: Origin, *, batch: int | None = None) -> Subject:
        """The subject that ``origin`` stands for; ``batch``: how many are mapped together."""
        settings, mapped = self.settings, origin.space == "z"
        psi = settings.truncation_psi if origin.psi is None else origin.psi
        label = settings.label if origin.label is None else origin.label
        if label is not None and not isinstance(label, (int, str)):
            label = tuple(float(value) for value in label)
        return Subject(
            source=self.inputs.source(origin, space=settings.latent_space),
            psi=(tuple(psi) if isinstance(psi, Sequence) else psi) if mapped else 1.0,
            cutoff=settings.truncation_cutoff if mapped else None,
            label=label if mapped and not origin.has_label else None,
            place=settings.place,
            batch=batch,
        )

    def scene(self, subjects: dict[str, Subject], of: str, *, seed: int | None = None) -> Scene:
        """The scene that shows the subject ``of`` alone; ``seed``: of random noise."""
        return Scene(
            models={MODEL: self.inputs.reference(self.model)},
            subjects=subjects,
            arrangement=Alone(of=of),
            noise=self.noise(seed),
            precision=self.settings.precision,
        )

    def alone(self, sources: Source | Iterable[Source]) -> dict[str, Scene]:
        """A scene that shows it alone for each origin in ``sources``, by names that files may have."""
        origins = list(self.origins(sources))
        if not origins:
            raise UsageError("No image was given. Give seeds or latent files.")
        names = unlike(file_name(origin) for origin in origins)
        return {
            name: self.scene({origin.name: self.subject(origin)}, origin.name, seed=origin.seed)
            for name, origin in zip(names, origins, strict=True)
        }

    def noise(self, seed: int | None = None) -> Noise:
        """The noise that the settings name; ``seed``: of random noise."""
        kind = self.settings.noise
        return Noise(kind=kind, seed=(seed or 0) if kind == "random" else 0)


def drawing(model: Model | Inputs, settings: DrawSettings | None) -> Drawing:
    """What scenes of one model are made with."""
    inputs = model if isinstance(model, Inputs) else Inputs(model)
    return Drawing(inputs=inputs, model=inputs.only, settings=settings or DrawSettings())


def file_name(origin: Origin) -> str:
    """Latent files may bring any names."""
    return re.sub(r"[^\w.-]", "_", origin.name).lstrip(".") or "latent"


def unlike(names: Iterable[str]) -> list[str]:
    """The names, made unlike each other."""
    found: dict[str, None] = {}
    for name in names:
        fresh, count = name, 1
        while fresh in found:
            count += 1
            fresh = f"{name}-{count}"
        found[fresh] = None
    return list(found)
