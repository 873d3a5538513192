"""Where images come from: seeds, latent files and latents, read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.latents.files import LatentSpace, load_latents
from sgkit.latents.spaces import Latents, Space
from sgkit.model import Model
from sgkit.model.labels import LabelChoice
from sgkit.runtime.path_checks import latent_files, one_or_many
from sgkit.runtime.ranges import is_list, parse_ranges

Source = int | str | Path | Latents | Tensor | npt.NDArray[Any]
"""A seed; a latent file; latents; seeds as text (``0,3,7-12``) or array; z [N, z_dim] or w+ [N, num_ws, w_dim].

All but a seed may stand for several images.
"""
MOST_SEED = 2**32 - 1


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
        sources: seeds, latent files, folders of projections, latents, tensors and arrays; or one of them.
        model: what the latents are for; its shape tells [num_ws, w_dim] in a file from many w.
        space: what latents are whose file names no space.

    Raises:
        InputError: a latent file cannot be read.
    """
    whole = isinstance(sources, (Latents, Tensor, np.ndarray))
    for given in [sources] if whole else one_or_many(sources):
        source = _of_array(given, model) if isinstance(given, (Tensor, np.ndarray)) else given
        if isinstance(source, (bool, np.bool_)):
            raise UsageError(f"{given!r} is not a source of images; give seeds, latent files or latents.")
        if isinstance(source, (int, np.integer)):
            yield _of_seed(int(source))
        elif isinstance(source, list):
            yield from map(_of_seed, source)
        elif isinstance(source, str) and is_list(source) and not Path(source).exists():
            yield from map(_of_seed, parse_ranges(source, "seeds", "0,3,7-12"))
        elif isinstance(source, Latents):
            yield from _each(source, None)
        elif isinstance(source, (str, Path)):
            for file in latent_files(source):
                yield from _each(load_latents(file, model=model, space=space), file)
        else:
            shown = repr(given) if len(repr(given)) < 80 else f"a value of type {type(given).__name__}"
            raise UsageError(f"{shown} is not a source of images; give seeds, latent files or latents.")


def _of_seed(seed: int) -> Origin:
    if not 0 <= seed <= MOST_SEED:
        raise UsageError(f"Seed {seed} is out of range; seeds go from 0 to {MOST_SEED}.")
    return Origin(name=f"seed{seed:04d}", seed=seed)


def _of_array(given: Tensor | npt.NDArray[Any], model: Model | None) -> list[int] | Latents:
    """Seeds, or latents of z or w+, for a tensor or an array.

    Raises:
        UsageError: its type or shape is of neither.
    """
    if isinstance(given, np.ndarray) and given.dtype.kind not in "iuf":
        raise UsageError(f"An array of {given.dtype} is not a source of images. Give seeds, z or w+.")
    array = given.detach() if isinstance(given, Tensor) else torch.from_numpy(np.ascontiguousarray(given))
    if array.ndim <= 1 and not array.is_floating_point() and array.dtype != torch.bool:
        return [int(seed) for seed in array.reshape(-1).tolist()]
    shapes = "whole numbers [N] (seeds)"
    if model is not None:
        lengths = (model.config.z_dim, (model.num_ws, model.config.w_dim))
        shapes += f", z [N, {lengths[0]}] or w+ [N, {model.num_ws}, {model.config.w_dim}]"
        if array.is_floating_point() and array.ndim == 2 and array.shape[1] == lengths[0]:
            return Latents(space="z", values={"z": array.float()})
        if array.is_floating_point() and array.ndim == 3 and array.shape[1:] == lengths[1]:
            return Latents(space="w+", values={"w": array.float()})
    raise UsageError(
        f"A {type(given).__name__} of {given.dtype} {list(given.shape)} is not a source of images. Give {shapes}."
    )


def _each(latents: Latents, file: Path | None) -> Iterator[Origin]:
    for index in range(len(latents)):
        name = latents.names[index] if latents.names else f"latent{index:04d}"
        yield Origin(name=name, latents=latents, index=index, file=file)
