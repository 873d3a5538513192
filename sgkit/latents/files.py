"""Latents from files, in the forms that circulate: sgkit's and NVIDIA's ``.npz``, ``.npy``, and torch files.

Read are ``.npz`` of sgkit, NVIDIA's ``projected_w.npz`` and TensorFlow's ``dlatents.npz``, ``arr_0``, bare arrays,
tensors that pSp, e4e and PTI save, the dict of images of rosinality's projector, and folders made by ``sgkit project``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sgkit.checkpoint.foreign import read_stream
from sgkit.errors import CheckpointError, CheckpointWarning, InputError, UsageError, did_you_mean
from sgkit.latents.spaces import SPACES, Latents, Space
from sgkit.model import Model
from sgkit.runtime.path_checks import LATENT, check_latents
from sgkit.text import printable
from sgkit.unpickle.arrays import as_array
from sgkit.unpickle.npz import read_npy, read_npz

LatentSpace = Literal["auto", "z", "w", "w+"]
"""How latents are meant whose file does not say it: by their shape, or as named."""
Array = np.ndarray[Any, Any]
Z_NAMES = ("z", "zs")
W_NAMES = (
    *("w", "ws", "w_plus", "wp", "w+", "dlatents", "dlatent", "projected_w", "latent", "latents", "latent_code"),
    *("latent_codes", "codes", "code", "arr_0", ""),
)
"""Names under which other tools keep w; the empty one is a bare array."""
MAX_NAME = 100


@dataclass(frozen=True)
class _Held:
    """What a file holds."""

    arrays: dict[str, Array]
    """By name; a bare array has the empty name."""
    names: tuple[str, ...] = ()
    noise: dict[str, Array] = field(default_factory=dict)


def load_latents(path: str | Path, *, model: Model | None = None, space: LatentSpace = "auto") -> Latents:
    """The latents in a file of sgkit's or of another tool, or in a folder that ``sgkit project`` made.

    Args:
        path: an ``.npz``, ``.npy`` or torch file, or the folder of one projection.
        model: what they are for. ``w`` of shape [num_ws, w_dim] in a file that names no space is then one w+, as e4e,
            PTI and rosinality's projector save it, and not many w; a warning says so.
        space: what the latents of a file that names no space are.

    Raises:
        InputError: the file is missing, damaged, or holds no latents; the message says what it holds instead.
        UsageError: the file names a space, and ``space`` is a different one.
    """
    found = check_latents(path)
    file = found.path / LATENT if found.is_folder else found.path
    if found.kind == "projections":
        raise InputError(f"{path} holds several projections. Give the folder of one of them, or list their files.")
    held = _read(file, found.kind)
    named = _named_space(held.arrays, file)
    if named and space not in ("auto", named):
        raise UsageError(f"{file} records that its latents are of the space {named}. Remove --latent-space {space}.")
    key, guess = (named, named) if named else _key_of(held.arrays, file)
    if named == "s":
        values = {n.removeprefix("s_"): _tensor(held.arrays[n], file) for n in held.arrays if n.startswith("s_")}
    else:
        source = "z" if named == "z" else "w" if named else key
        values = {"z" if guess == "z" else "w": _tensor(held.arrays[source], file)} if source in held.arrays else {}
        if not named and values:
            guess, values = _shaped(next(iter(values.values())), guess, space, model, file)
    _check_shapes(guess, values, file)
    if held.noise and model is not None and not _fits_layers(held.noise, model):
        warnings.warn(
            f"{file}: its noise maps do not fit the layers of this model and are ignored; the model's own are used.",
            CheckpointWarning,
            stacklevel=2,
        )
        held = replace(held, noise={})
    return _latents(guess, values, held, file)


def _fits_layers(noise: Mapping[str, Array], model: Model) -> bool:
    plan = model.generator.synthesis.plan
    return {spec.name: spec.size for spec in plan if spec.has_noise} == {n: m.shape[2:] for n, m in noise.items()}


def _latents(space: Space, values: Mapping[str, Tensor], held: _Held, file: Path) -> Latents:
    arrays, count = held.arrays, len(next(iter(values.values())))
    noise = {n.removeprefix("noise_"): _tensor(a, file) for n, a in arrays.items() if n.startswith("noise_")}
    noise |= {name: _tensor(array, file) for name, array in held.noise.items()}
    if any(maps.ndim != 4 or len(maps) not in (1, count) or maps.shape[1] != 1 for maps in noise.values()):
        raise InputError(f"{file} holds noise maps that are not of shape [{count} or 1, 1, height, width].")
    label = _tensor(arrays["label"], file) if arrays.get("label", np.empty(0)).size else None
    if label is not None and (label.ndim != 2 or len(label) != count):
        raise InputError(f"{file} holds {count} latents, but labels of shape {list(label.shape)}.")
    given = arrays.get("names", np.array(held.names))
    names = tuple(str(name)[:MAX_NAME] for name in given.reshape(-1))
    if len(names) != count:
        names = (file.stem,) if count == 1 else tuple(f"{file.stem}-{index}" for index in range(count))
    if file.name == LATENT and count == 1 and "names" not in arrays:
        names = (file.parent.name,)
    model_hash = str(arrays["model"]) if "model" in arrays else None
    place = _tensor(arrays["place"], file) if "place" in arrays else None
    if place is not None and place.shape != (count, 3):
        raise InputError(f"{file} holds {count} latents, but places of shape {list(place.shape)}.")
    return Latents(
        space=space, values=values, label=label, noise=noise, model_hash=model_hash, names=names, place=place
    )


# --------------------------------------------------------------------------------------------------- reading


def _read(file: Path, kind: str) -> _Held:
    try:
        if kind == "npy":
            return _Held({"": read_npy(file)})
        if kind in ("torch zip", "torch legacy", "pickle"):
            return _from_torch(read_stream(file), file)
        return _Held(read_npz(file))
    except CheckpointError as error:
        raise InputError(f"Cannot read latents from {file}: {error} Use an .npz, .npy or .pt file of arrays.") from None
    except OSError as error:
        raise InputError(f"Cannot read latents from {file}: {error.strerror or error}.") from None


def _from_torch(value: Any, file: Path) -> _Held:
    """A tensor; a list of tensors; a dict of one; or rosinality's dict of images."""
    array = as_array(value)
    if array is not None:
        return _Held({"": array})
    if isinstance(value, (list, tuple)):
        return _Held({"": _stacked([as_array(item) for item in value], file)})
    if not isinstance(value, dict) or not value:
        raise InputError(f"{file} holds no latents: a tensor, a list of tensors or a table of them is expected.")
    entries = list(value.values())
    if all(isinstance(entry, dict) and as_array(entry.get("latent")) is not None for entry in entries):
        return _projector(value, file)
    arrays = {str(key): array for key, item in value.items() if (array := as_array(item)) is not None}
    return _Held(arrays)


def _projector(value: dict[Any, Any], file: Path) -> _Held:
    """What rosinality's projector saves: image -> latent, and noise maps in the order of the layers."""
    latents = _stacked([as_array(entry["latent"]) for entry in value.values()], file)
    names = tuple(Path(str(key)).stem for key in value)
    lists = [entry.get("noise") for entry in value.values()]
    maps = [[as_array(item) for item in noise] for noise in lists if isinstance(noise, (list, tuple))]
    noise: dict[str, Array] = {}
    if len(maps) == len(lists) and len({len(one) for one in maps}) == 1:
        for index, layer in enumerate(zip(*maps, strict=True)):
            side = 4 if index == 0 else 8 << ((index - 1) // 2)
            stacked = [
                array.reshape(1, 1, side, side) for array in layer if array is not None and array.size == side**2
            ]
            if len(stacked) != len(lists):
                noise = {}
                break
            noise[f"b{side}_conv{1 if index == 0 else (index - 1) % 2}"] = np.concatenate(stacked)
    return _Held({"latent": latents}, names, noise)


def _stacked(arrays: Sequence[Array | None], file: Path) -> Array:
    shapes = {None if array is None else array.shape for array in arrays}
    if not arrays or len(shapes) != 1 or None in shapes:
        raise InputError(f"{file} holds no latents: its entries are not tensors of one shape.")
    present = [array for array in arrays if array is not None]
    if present[0].ndim >= 2 and present[0].shape[0] == 1:
        return np.concatenate(present)
    return np.stack(present)


# ----------------------------------------------------------------------------------------------- meaning


def _named_space(arrays: Mapping[str, Array], file: Path) -> Space | None:
    """The space that a file of sgkit's names."""
    if "space" not in arrays:
        return None
    name = str(arrays["space"])
    for space in SPACES:
        if space == name:
            return space
    raise InputError(f"{file} is of the unknown space {name!r}. {did_you_mean(name, SPACES)}")


def _key_of(arrays: Mapping[str, Array], file: Path) -> tuple[str, Space]:
    """The array of a file that names no space which holds latents, and the space that its name tells of."""
    for name in W_NAMES:
        if name in arrays:
            return name, "w"
    for name in Z_NAMES:
        if name in arrays:
            return name, "z"
    held = ", ".join(printable(name, limit=60) for name in sorted(arrays)[:12]) or "nothing"
    raise InputError(
        f"{file} holds no latents: none of the names under which they are kept ({', '.join(W_NAMES[:6])}, z, ...) is "
        f"among its entries ({held})."
    )


def _shaped(
    value: Tensor, guess: Space, space: LatentSpace, model: Model | None, file: Path
) -> tuple[Space, dict[str, Tensor]]:
    """The space and the values of latents that a file names no space for, by their shape."""
    while value.ndim > 3 and len(value) == 1:
        value = value[0]
    if value.ndim == 1:
        value = value[None]
    if value.ndim == 3 and value.shape[1] == 1 and space != "w+":
        value = value[:, 0]
    wanted: Space = guess if space == "auto" else space
    if space == "auto" and guess == "w":
        wanted = "w+" if value.ndim == 3 or _is_one_w_plus(value, model) else "w"
        if wanted == "w+" and value.ndim == 2 and len(value) > 1:
            warnings.warn(
                f"{file}: w of shape {list(value.shape)} is read as one w+ latent, one w for each layer of the model. "
                f"With --latent-space w it is read as {len(value)} separate latents.",
                CheckpointWarning,
                stacklevel=4,
            )
    if wanted == "w+" and value.ndim == 2:
        value = value[None]
    if wanted == "w" and value.ndim == 3:
        value = _same_for_all_layers(value, file)
    return wanted, {"z" if wanted == "z" else "w": value}


def _is_one_w_plus(value: Tensor, model: Model | None) -> bool:
    """Whether [num_ws, w_dim] was given."""
    return model is not None and model.num_ws > 1 and tuple(value.shape) == (model.num_ws, model.config.w_dim)


def _same_for_all_layers(value: Tensor, file: Path) -> Tensor:
    if not torch.equal(value, value[:, :1].expand_as(value)):
        raise InputError(
            f"{file} holds w of shape {list(value.shape)} that differ from layer to layer: they are of the space w+, "
            "not w. Use --latent-space w+."
        )
    return value[:, 0]


def _check_shapes(space: Space, values: Mapping[str, Tensor], file: Path) -> None:
    ndim = 3 if space == "w+" else 2
    shapes = {name: list(value.shape) for name, value in values.items()}
    counts = {shape[0] for shape in shapes.values() if len(shape) == ndim}
    if not values or len(counts) != 1 or 0 in counts or any(len(shape) != ndim for shape in shapes.values()):
        raise InputError(
            f"{file} says that it holds latents of the space {space}, but its arrays do not fit that: "
            f"{shapes or 'there are none'}."
        )


def _tensor(array: Array, file: Path) -> Tensor:
    if array.dtype.kind not in "fiu":
        raise InputError(f"{file} holds an array of type {array.dtype}; latents are numbers (float32).")
    with np.errstate(over="ignore", invalid="ignore"):
        values = torch.from_numpy(np.array(array, np.float32, order="C"))
    if not bool(torch.isfinite(values).all()):
        raise InputError(
            f"{file} holds numbers that are not finite (NaN or infinity), so it is damaged. Make it again."
        )
    return values
