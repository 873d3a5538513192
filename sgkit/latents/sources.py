"""Where pictures come from: seeds and latent files, read one by one and drawn many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BeforeValidator
from torch import Tensor

from sgkit.config.base import Config
from sgkit.errors import UsageError
from sgkit.latents.files import LatentSpace, load_latents
from sgkit.latents.spaces import Latents, Space, join, to_styles
from sgkit.model import (
    Branch,
    Canvas,
    LayerSpec,
    MapNoise,
    Model,
    NoiseSource,
    SeededNoise,
    StoredNoise,
    finite,
    noise_source,
    walk,
)
from sgkit.model.inputs import as_psi
from sgkit.model.labels import LabelChoice, label_vector, seed_label
from sgkit.runtime.path_checks import latent_files, one_or_many
from sgkit.runtime.precision import ResolvedPrecision, autocast

Source = int | str | Path | Latents
"""A seed, a latent file, or latents; the last two may stand for several pictures."""
NoiseName = Literal["const", "random", "none"]
"""``const``: the model's maps, or a latent's own; ``random``: other noise for each seed; ``none``: no noise."""


class DrawSettings(Config):
    """What turns latents into pictures, besides the latents."""

    label: LabelChoice | None = None
    """For seeds; latents of the space z may bring their own."""
    truncation_psi: Annotated[float | Sequence[float], BeforeValidator(as_psi)] = 1.0
    """One number, or one for each w of w+. Applies to seeds and z; w, w+ and s are taken as they are."""
    truncation_cutoff: int | None = None
    """Truncate only the first so many w; ``None``: all."""
    noise: NoiseName = "const"
    precision: ResolvedPrecision = "fp32"
    latent_space: LatentSpace = "auto"
    """What latents are whose file names no space."""

    @property
    def truncates(self) -> bool:
        """Whether any psi differs from 1."""
        psi = self.truncation_psi
        return any(value != 1 for value in (psi if isinstance(psi, Sequence) else [psi]))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where one picture comes from: a seed, or the latents of one picture."""

    name: str
    """``seed0007``, or the name in the latent file."""
    seed: int | None = None
    latents: Latents | None = None

    @property
    def space(self) -> Space:
        """The space that it is given in; seeds are of z."""
        return "z" if self.latents is None else self.latents.space

    @property
    def noise(self) -> Mapping[str, Tensor]:
        """Noise maps of its own; mostly empty."""
        return {} if self.latents is None else self.latents.noise


def read_origins(
    sources: Source | Iterable[Source], model: Model | None = None, settings: DrawSettings | None = None
) -> Iterator[Origin]:
    """One origin for each image, in order; a file is read when its turn comes.

    Args:
        sources: seeds, latent files, folders of projections, and latents; or one of them.
        model: what the latents are for; its shape tells [num_ws, w_dim] in a file from many w.
        settings: say how latents are meant whose file does not say it.

    Raises:
        InputError: a latent file cannot be read.
    """
    space = settings.latent_space if settings else "auto"
    for source in [sources] if isinstance(sources, Latents) else one_or_many(sources):
        if isinstance(source, (int, np.integer)):
            yield Origin(name=f"seed{source:04d}", seed=int(source))
            continue
        if not isinstance(source, (str, Path, Latents)):
            raise UsageError(f"{source!r} is not a source of images; give seeds, latent files or latents.")
        files = [source] if isinstance(source, Latents) else latent_files(source)
        for file in files:
            latents = file if isinstance(file, Latents) else load_latents(file, model=model, space=space)
            for index in range(len(latents)):
                name = latents.names[index] if latents.names else f"latent{index:04d}"
                yield Origin(name=name, latents=latents[index])


def origin_latents(model: Model, origin: Origin, settings: DrawSettings) -> Latents:
    """The latents of one picture: z and label for a seed, the file's own otherwise.

    Raises:
        UsageError: the label does not fit the model, or is missing.
    """
    if origin.latents is None:
        assert origin.seed is not None
        label = seed_label(model, settings.label, origin.seed)
        return Latents(space="z", values={"z": model.sample_z([origin.seed])}, label=label, names=(origin.name,))
    if origin.space == "z" and origin.latents.label is None:
        return replace(origin.latents, label=label_vector(model, settings.label))
    return origin.latents


def origin_styles(model: Model, origins: Sequence[Origin], settings: DrawSettings) -> dict[str, Tensor]:
    """s: layer name -> [len(origins), C]; neighbours of one space are mapped together.

    Raises:
        UsageError: latents or label do not fit the model.
    """
    parts = []
    for _, group in groupby(origins, key=lambda origin: origin.space):
        latents = join([origin_latents(model, origin, settings) for origin in group])
        parts.append(to_styles(latents, model, psi=settings.truncation_psi, cutoff=settings.truncation_cutoff))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def origin_noise(origins: Sequence[Origin], name: NoiseName) -> NoiseSource:
    """The noise of pictures drawn together, a function of each origin alone: its seed, or its own maps."""
    if name == "random":
        return SeededNoise([origin.seed or 0 for origin in origins])
    if name == "const" and any(origin.noise for origin in origins):
        return _OwnNoise(tuple(MapNoise(origin.noise) if origin.noise else StoredNoise() for origin in origins))
    return noise_source(name)


def draw(model: Model, origins: Sequence[Origin], settings: DrawSettings) -> Tensor:
    """Images [len(origins), C, H, W], about -1 to 1."""
    with torch.inference_mode():
        styles = origin_styles(model, origins, settings)
        return draw_styles(model, styles, origin_noise(origins, settings.noise), settings.precision)


def draw_styles(model: Model, styles: dict[str, Tensor], noise: NoiseSource, precision: ResolvedPrecision) -> Tensor:
    """Images [N, C, H, W] for styles of the s space.

    Raises:
        NonFiniteImageError: an image holds NaN or infinity; the first layer that does is named.
    """
    with torch.inference_mode(), autocast(precision, model.device):
        branches = [Branch(model.generator.synthesis, styles, noise)]
        return finite(walk(branches)[0].image, branches)


@dataclass(frozen=True)
class _OwnNoise:
    """Another noise source for each sample of a batch."""

    sources: tuple[NoiseSource, ...]

    def __call__(self, spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        """Noise [batch, 1, height, width]."""
        maps = [source(spec, stored, canvas, 1) for source in self.sources]
        return torch.cat([noise.to(stored) for noise in maps if noise is not None])
