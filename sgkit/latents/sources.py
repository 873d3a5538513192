"""Where images come from: seeds, latent files and latents, read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sgkit.errors import UsageError
from sgkit.latents.files import LatentSpace, load_latents
from sgkit.latents.spaces import Latents, Space
from sgkit.model import Model
from sgkit.model.labels import LabelChoice
from sgkit.runtime.path_checks import latent_files, one_or_many

Source = int | str | Path | Latents
"""A seed, a latent file, or latents; the last two may stand for several images."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where one image comes from: a seed, or one of the latents of a file."""

    name: str
    """``seed0007``, or the name in the latent file."""
    seed: int | None = None
    latents: Latents | None = None
    """All that the file holds."""
    index: int = 0
    """Which of them."""
    file: Path | None = None
    """``None``: a seed, or latents that are not from a file."""
    label: LabelChoice | None = None
    """Of one image in several classes; ``None``: the label of the settings."""
    psi: float | None = None
    """Of one image at several truncations; ``None``: the truncation of the settings."""

    def variants(self, labels: Sequence[LabelChoice], psis: Sequence[float]) -> Iterator[Origin]:
        """The same image with each label and each truncation, if there are any and it takes them."""
        mapped = self.space == "z"
        for label in labels if mapped and not self.has_label and labels else (None,):
            for psi in psis if mapped and psis else (None,):
                suffix = ("" if label is None else f"-{label}") + ("" if psi is None else f"-psi{psi:g}")
                yield replace(self, name=f"{self.name}{suffix}", label=label, psi=psi)

    @property
    def space(self) -> Space:
        """The space that it is given in; seeds are of z."""
        return "z" if self.latents is None else self.latents.space

    @property
    def has_label(self) -> bool:
        """Whether it brings its own label."""
        return self.latents is not None and self.latents.label is not None


def read_origins(
    sources: Source | Iterable[Source], model: Model | None = None, *, space: LatentSpace = "auto"
) -> Iterator[Origin]:
    """One origin for each image, in order; a file is read when its turn comes.

    Args:
        sources: seeds, latent files, folders of projections, and latents; or one of them.
        model: what the latents are for; its shape tells [num_ws, w_dim] in a file from many w.
        space: what latents are whose file names no space.

    Raises:
        InputError: a latent file cannot be read.
    """
    for source in [sources] if isinstance(sources, Latents) else one_or_many(sources):
        if isinstance(source, (int, np.integer)):
            yield Origin(name=f"seed{source:04d}", seed=int(source))
        elif isinstance(source, Latents):
            yield from _each(source, None)
        elif isinstance(source, (str, Path)):
            for file in latent_files(source):
                yield from _each(load_latents(file, model=model, space=space), file)
        else:
            raise UsageError(f"{source!r} is not a source of images; give seeds, latent files or latents.")


def _each(latents: Latents, file: Path | None) -> Iterator[Origin]:
    for index in range(len(latents)):
        name = latents.names[index] if latents.names else f"latent{index:04d}"
        yield Origin(name=name, latents=latents, index=index, file=file)
