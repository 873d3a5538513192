"""Directions in a latent space: what is added to latents so that one property of the images changes.

A file (``.safetensors``) holds directions of one space for one model: ``z`` [K, z_dim], ``w`` [K, w_dim], ``w``
[K, num_ws, w_dim] (space w+) or ``s_<layer>`` [K, C], all of length 1; ``steps`` [K], how far strength 1 moves; and
``explained`` [K], shares of variance, where the method has them. The header says how they were found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

import sgkit
from sgkit.errors import InputError, UsageError
from sgkit.latents.direction_header import (
    EXPLAINED,
    FORMAT_VERSION,
    METADATA_KEY,
    STEPS,
    STYLE,
    DirectionHeader,
    read_headers,
)
from sgkit.latents.spaces import Latents, Space
from sgkit.model import Model
from sgkit.runtime.tensor_files import write_safetensors
from sgkit.unpickle.budget import failing_as
from sgkit.unpickle.safetensors_header import float_arrays


@dataclass(frozen=True, kw_only=True)
class Directions:
    """K directions of one space."""

    space: Space
    values: Mapping[str, Tensor]
    """z: ``{"z": [K, z_dim]}``; w: ``{"w": [K, w_dim]}``; w+: ``{"w": [K, num_ws, w_dim]}``; s: layer -> [K, C]."""
    steps: Tensor
    """[K]: how far strength 1 moves along each. Mostly a standard deviation of the model's latents along it."""
    names: tuple[str, ...]
    signs: tuple[str, ...]
    """What positive strength does, one text for each direction."""
    method: str
    model_hash: str
    layers: tuple[int, ...] | None = None
    """The w of w+ that they move unless told otherwise; ``None``: all."""
    explained: Tensor | None = None
    """[K]: shares of variance."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Plain facts about how they were found."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def header(self) -> DirectionHeader:
        """What the header of their file says."""
        return DirectionHeader(
            space=self.space,
            method=self.method,
            names=self.names,
            signs=self.signs,
            layers=self.layers,
            model_hash=self.model_hash,
            sgkit_version=sgkit.__version__,
            shapes={name: tuple(value.shape) for name, value in self.values.items()},
            settings=dict(self.settings),
        )

    def content_hash(self) -> str:
        """SHA-256 over what an image takes from them: space, layers, names, values and steps."""
        digest = hashlib.sha256(json.dumps([self.space, self.layers, self.names]).encode())
        for name, tensor in sorted({**self.values, STEPS: self.steps}.items()):
            values = tensor.detach().cpu().float().contiguous().numpy()
            digest.update(f"{name} {list(values.shape)}\n".encode())
            digest.update(values.tobytes())
        return digest.hexdigest()

    def added(self, index: int, strength: float) -> dict[str, Tensor]:
        """What is added to a latent: direction ``index``, ``strength`` steps of it; by the names of ``values``."""
        scale = strength * float(self.steps[index])
        return {name: value[index] * scale for name, value in self.values.items()}


def unit(
    values: Mapping[str, Tensor],
    *,
    space: Space,
    steps: Tensor | None = None,
    **facts: Any,
) -> Directions:
    """Directions of length 1, on the CPU. ``steps`` [K] are in units of ``values``; ``None``: 1, the whole of each.

    Raises:
        UsageError: a direction is 0 or not finite.
    """
    count = len(next(iter(values.values())))
    wide = {name: value.cpu().double() for name, value in values.items()}
    flat = torch.cat([value.reshape(count, -1) for value in wide.values()], dim=1)
    lengths = flat.norm(dim=1)
    if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
        raise UsageError("A direction of length 0 was found: nothing in the data differs. Give more or other examples.")
    moves = lengths if steps is None else lengths * steps.cpu().double()
    shaped = {n: (v / lengths.view(-1, *[1] * (v.ndim - 1))).float() for n, v in wide.items()}
    return Directions(space=space, values=shaped, steps=moves.float(), **facts)


def fixed_sign(vectors: Tensor) -> Tensor:
    """``vectors`` [K, D], each turned so that its component of the largest magnitude is positive."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0).to(vectors.dtype)


# -------------------------------------------------------------------------------------------------- fitting


def check_fits(directions: Directions, model: Model, *, own_hash: str | None, name: str) -> None:
    """Refuse directions of another model, or of a model of another shape.

    Args:
        directions: what was read.
        model: the model that is to be moved.
        own_hash: its content hash (directions of models that it was tuned from fit as well); ``None``: directions of
            any model are allowed, if only their lengths fit.
        name: their file, for messages.

    Raises:
        UsageError: they do not fit.
    """
    if own_hash is not None and directions.model_hash not in (own_hash, *model.info.tuned_from):
        raise UsageError(
            f"{name} was made for a different model: its directions belong to the one with the hash "
            f"{directions.model_hash[:12]}, and the given one has {own_hash[:12]}. Find directions for this model "
            "(sgkit directions find MODEL), or allow these with --any-model."
        )
    config, space = model.config, directions.space
    if space == "s":
        average = model.generator.mapping.w_avg.expand(1, model.num_ws, -1)
        needed: dict[str, tuple[int, ...]] = {n: tuple(v.shape[1:]) for n, v in model.styles(average).items()}
    else:
        shapes: dict[str, dict[str, tuple[int, ...]]] = {
            "z": {"z": (config.z_dim,)},
            "w": {"w": (config.w_dim,)},
            "w+": {"w": (model.num_ws, config.w_dim)},
        }
        needed = shapes[space]
    held = {n: tuple(v.shape[1:]) for n, v in directions.values.items()}
    wrong = next((n for n, shape in held.items() if needed.get(n) != shape), None)
    if wrong is not None:
        wanted = "none" if wrong not in needed else "x".join(map(str, needed[wrong]))
        raise UsageError(
            f"{name} does not fit this model: its directions in {space} ({wrong}) have "
            f"{'x'.join(map(str, held[wrong]))} numbers, the model needs {wanted}. Find directions for this model: "
            "sgkit directions find MODEL --out FILE"
        )
    last = max(directions.layers or (0,))
    if last >= model.num_ws:
        raise UsageError(f"{name} moves layer {last} of w+; this model has {model.num_ws}, from 0 on.")


# -------------------------------------------------------------------------------------------------- moving


def moved_ws(ws: Tensor, delta: Tensor, layers: Sequence[int] | None) -> Tensor:
    """``ws`` [N, num_ws, w_dim] with ``delta`` [w_dim] or [num_ws, w_dim] added at ``layers`` (``None``: all)."""
    change = delta.to(ws).expand(ws.shape[1:])
    if layers is not None:
        keep = torch.zeros(ws.shape[1], 1, dtype=ws.dtype, device=ws.device)
        keep[list(layers)] = 1
        change = change * keep
    return ws + change


def moved_styles(styles: Mapping[str, Tensor], delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``styles`` [N, C] by layer with ``delta`` [C] added at the layers that it names."""
    return {name: value + delta[name].to(value) if name in delta else value for name, value in styles.items()}


def truncated_styles(
    styles: Mapping[str, Tensor], average: Mapping[str, Tensor], psi: Mapping[str, float]
) -> dict[str, Tensor]:
    """``styles`` moved towards those of the average w, by layer: psi 1 keeps them, 0 gives the average."""
    return {
        name: value if psi.get(name, 1.0) == 1 else average[name].lerp(value, psi[name])
        for name, value in styles.items()
    }


def moved(latents: Latents, delta: Mapping[str, Tensor]) -> Latents:
    """``latents`` with ``delta`` added, of their own space; labels, noise and names stay."""
    values = {n: v + delta[n].to(v) if n in delta else v for n, v in latents.values.items()}
    return replace(latents, values=values)


# --------------------------------------------------------------------------------------------------- files


def save_directions(directions: Directions, path: str | Path) -> Path:
    """Write ``directions`` to ``path``, whole or not at all.

    Raises:
        UsageError: ``path`` does not end in ``.safetensors``.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        better = path.with_suffix(".safetensors").name if path.name else "directions.safetensors"
        raise UsageError(f"A direction file must be named .safetensors; {path.name!r} was given. Use {better}.")
    header = {
        "format_version": FORMAT_VERSION,
        "sgkit_version": sgkit.__version__,
        "space": directions.space,
        "method": directions.method,
        "names": list(directions.names),
        "signs": list(directions.signs),
        "layers": None if directions.layers is None else list(directions.layers),
        "model": directions.model_hash,
        "settings": dict(directions.settings),
    }
    tensors = {_key(directions.space, name): _plain(value) for name, value in directions.values.items()}
    tensors[STEPS] = _plain(directions.steps)
    if directions.explained is not None:
        tensors[EXPLAINED] = _plain(directions.explained)
    write_safetensors(tensors, path, key=METADATA_KEY, header=header)
    return path


def load_directions(path: str | Path) -> Directions:
    """The directions in a file written by :func:`save_directions`.

    Raises:
        InputError: there is no such file, it is of another kind, or it is damaged.
    """
    header, raw = read_headers(path)
    with failing_as(f"Cannot read directions from {path}", kind=InputError):
        tensors = {name: torch.from_numpy(array) for name, array in float_arrays(path, raw).items()}
    steps, explained = tensors.pop(STEPS), tensors.pop(EXPLAINED, None)
    prefix = STYLE if header.space == "s" else ""
    return Directions(
        space=cast(Space, header.space),
        values={name.removeprefix(prefix): value for name, value in tensors.items()},
        steps=steps,
        names=header.names,
        signs=header.signs,
        method=header.method,
        model_hash=header.model_hash,
        layers=header.layers,
        explained=explained,
        settings=header.settings,
    )


def _key(space: Space, name: str) -> str:
    return STYLE + name if space == "s" else name


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().float().contiguous()
