"""Latent files (``.npz``): latents of one space, the label and noise that go with them, and the model they belong to.

Arrays in a file: ``space`` (``z``, ``w``, ``w+`` or ``s``), then ``z`` [N, z_dim], ``w`` [N, w_dim],
``w`` [N, num_ws, w_dim] or ``s_<layer>`` [N, C] for each layer; optional ``label`` [N, label_dim], ``noise_<layer>``
[N or 1, 1, height, width], ``model`` (:meth:`sgkit.model.Model.content_hash`) and ``names`` [N]. A ``projected_w.npz``
of NVIDIA's tools holds ``w`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.latents.places import fourier_input, placed_styles
from sgkit.model import Model
from sgkit.runtime.files import atomic_path

Space = Literal["z", "w", "w+", "s"]
SPACES: tuple[Space, ...] = get_args(Space)


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Latents of N pictures in one space."""

    space: Space
    values: Mapping[str, Tensor]
    """z: ``{"z": [N, z_dim]}``; w: ``{"w": [N, w_dim]}``; w+: ``{"w": [N, num_ws, w_dim]}``; s: layer -> [N, C]."""
    label: Tensor | None = None
    """[N, label_dim]: goes with z into the mapping."""
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    """Noise maps of a projection: layer name -> [N or 1, 1, height, width]; empty: the model's own."""
    model_hash: str | None = None
    """Content hash of the model that they are latents of; ``None``: not known."""
    names: tuple[str, ...] = ()
    """A name for each picture."""
    place: Tensor | None = None
    """Where pictures of a StyleGAN3 are on the canvas, [N, 3]: see :func:`sgkit.latents.places.placed_styles`."""

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def __getitem__(self, index: int) -> Latents:
        """The latents of one picture."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        pick = slice(index, index + 1)
        return Latents(
            space=self.space,
            values={name: value[pick] for name, value in self.values.items()},
            label=None if self.label is None else self.label[pick],
            noise={name: maps if len(maps) == 1 else maps[pick] for name, maps in self.noise.items()},
            model_hash=self.model_hash,
            names=self.names[pick],
            place=None if self.place is None else self.place[pick],
        )

    @property
    def only(self) -> Tensor:
        """The one tensor of a z, w or w+ latent."""
        return self.values["z" if self.space == "z" else "w"]


# ----------------------------------------------------------------------------------------- conversion


def to_ws(
    latents: Latents,
    model: Model,
    *,
    psi: float | Sequence[float] = 1.0,
    cutoff: int | None = None,
) -> Tensor:
    """w+ [N, num_ws, w_dim] on the model's device. Truncation applies to z; w and w+ stay as they are.

    Raises:
        UsageError: the latents are of the s space, or do not fit the model.
    """
    if latents.space == "s":
        raise UsageError("Latents of the space s have no w. Use latents of the space z, w or w+.")
    _check_fits(latents, model)
    values = latents.only.to(model.device, torch.float32)
    if latents.space == "z":
        label = None if latents.label is None else latents.label.to(model.device, torch.float32)
        return model.map(values, label, truncation_psi=psi, truncation_cutoff=cutoff)
    if latents.space == "w":
        values = values[:, None].expand(-1, model.num_ws, -1)
    return values


def to_styles(
    latents: Latents,
    model: Model,
    *,
    psi: float | Sequence[float] = 1.0,
    cutoff: int | None = None,
) -> dict[str, Tensor]:
    """s: layer name -> style [N, C] on the model's device. Truncation applies to z.

    Raises:
        UsageError: the latents do not fit the model.
    """
    if latents.space != "s":
        styles = model.styles(to_ws(latents, model, psi=psi, cutoff=cutoff))
        return styles if latents.place is None else placed_styles(styles, latents.place, model)
    _check_fits(latents, model)
    return {name: latents.values[name].to(model.device, torch.float32) for name in model.styles(_average(model))}


def _check_fits(latents: Latents, model: Model) -> None:
    """Refuse latents of a model of another shape, saying in which number the two differ."""
    reason = _misfit(latents, model)
    if reason is None:
        return
    name = f"Latent {latents.names[0]!r} does" if len(latents.names) == 1 else "The latents do"
    raise UsageError(
        f"{name} not fit this model: {reason}. They belong to another model. Use that one, or project the image again "
        "with this model: sgkit project MODEL IMAGE --out FOLDER"
    )


def _misfit(latents: Latents, model: Model) -> str | None:
    """Where latents and model differ in shape; ``None``: nowhere."""
    config, space = model.config, latents.space
    if latents.place is not None and fourier_input(model) is None:
        return "its image is moved and turned, and only a StyleGAN3 does that"
    if space == "s":
        expected = {name: value.shape[1] for name, value in model.styles(_average(model)).items()}
        given = {name: value.shape[1] for name, value in latents.values.items()}
        wrong = next((name for name in {**expected, **given} if expected.get(name) != given.get(name)), None)
        if wrong is None:
            return None
        held, needed = given.get(wrong, "no"), expected.get(wrong, "none")
        return f"the style of layer {wrong} has {held} numbers, the model needs {needed}"
    length, wanted = latents.only.shape[-1], config.z_dim if space == "z" else config.w_dim
    if length != wanted:
        return f"{'z' if space == 'z' else 'w'} has {length} numbers, the model needs {wanted}"
    if space == "w+" and latents.only.shape[1] != model.num_ws:
        height, width = model.image_size
        return (
            f"w+ has {latents.only.shape[1]} layers, the model needs {model.num_ws} (it makes {width}x{height} images)"
        )
    return None


def convert(
    latents: Latents,
    model: Model,
    space: Space,
    *,
    psi: float | Sequence[float] = 1.0,
    cutoff: int | None = None,
) -> Latents:
    """The same pictures' latents in ``space``, which is further along z -> w -> w+ -> s; labels are gone after z.

    Raises:
        UsageError: ``space`` comes before the latents' own, or the truncation makes w differ from layer to layer.
    """
    if SPACES.index(space) < SPACES.index(latents.space):
        raise UsageError(f"Latents of the space {latents.space} cannot be taken back to {space}; only forward to s.")
    if space == latents.space:
        return latents
    if space == "s":
        values: Mapping[str, Tensor] = to_styles(latents, model, psi=psi, cutoff=cutoff)
    else:
        ws = to_ws(latents, model, psi=psi, cutoff=cutoff)
        if space == "w" and not torch.equal(ws, ws[:, :1].expand_as(ws)):
            raise UsageError(
                "Truncation that differs from layer to layer gives one w for each layer: use the space w+."
            )
        values = {"w": ws[:, 0] if space == "w" else ws}
    place = None if space == "s" else latents.place  # s has it in the style of the input
    return replace(latents, space=space, values=values, label=None, place=place)


def join(latents: Sequence[Latents]) -> Latents:
    """All pictures' latents as one, in order. Noise maps stay only where every part has them.

    Raises:
        UsageError: they are of several spaces, layers or shapes, or only some have labels.
    """
    first = latents[0]
    kinds = {(one.space, one.label is None, tuple((k, v.shape[1:]) for k, v in one.values.items())) for one in latents}
    if len(kinds) > 1:
        raise UsageError("Latents of several spaces or shapes cannot be joined. Convert them to one space first.")
    hashes = {one.model_hash for one in latents}
    layers = set.intersection(*(set(one.noise) for one in latents))
    return Latents(
        space=first.space,
        values={name: torch.cat([one.values[name] for one in latents]) for name in first.values},
        label=None if first.label is None else torch.cat([one.label for one in latents if one.label is not None]),
        noise={
            name: torch.cat([one.noise[name].expand(len(one), -1, -1, -1) for one in latents])
            for name in first.noise
            if name in layers
        },
        model_hash=first.model_hash if len(hashes) == 1 else None,
        names=tuple(name for one in latents for name in one.names),
        place=joined_places(latents),
    )


def joined_places(latents: Sequence[Latents]) -> Tensor | None:
    """The places of all, [N, 3]; where they are not moved: 0."""
    if all(one.place is None for one in latents):
        return None
    return torch.cat([torch.zeros(len(one), 3) if one.place is None else one.place.cpu() for one in latents])


def _average(model: Model) -> Tensor:
    return model.generator.mapping.w_avg.expand(1, model.num_ws, -1)


# ------------------------------------------------------------------------------------------------ files


def save_latents(latents: Latents, path: str | Path) -> None:
    """Write ``latents`` to ``path``, whole or not at all."""
    prefix = "s_" if latents.space == "s" else ""
    arrays = {prefix + name: _array(value) for name, value in latents.values.items()}
    arrays |= {f"noise_{name}": _array(value) for name, value in latents.noise.items()}
    if latents.label is not None:
        arrays["label"] = _array(latents.label)
    if latents.place is not None:
        arrays["place"] = _array(latents.place)
    if latents.model_hash is not None:
        arrays["model"] = np.array(latents.model_hash)
    if latents.names:
        arrays["names"] = np.array(latents.names)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        cast(Any, np.savez)(file, space=np.array(latents.space), **arrays)


def _array(value: Tensor) -> np.ndarray[Any, Any]:
    return value.detach().cpu().float().numpy()
