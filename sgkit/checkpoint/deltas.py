"""Deltas: what tuning changed in a generator, in a small ``.safetensors`` that is used as ``MODEL+DELTA``.

Of each tensor that changed the file holds its new values (``full.NAME``), or the difference as the product of two thin
matrices (``up.NAME`` [rows, rank], ``down.NAME`` [rank, columns]; rows are the first dimension). The header names the
model by its content hash, and the hash of the tuned one, by which a reader knows that nothing is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sgkit
from sgkit.checkpoint.assemble import build_around, builder
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.model import Generator, Model
from sgkit.runtime.path_checks import check_delta
from sgkit.runtime.tensor_files import write_safetensors
from sgkit.unpickle.budget import bad_data, failing_as
from sgkit.unpickle.safetensors_header import SafetensorsHeader, float_arrays, read_safetensors_header

FORMAT_VERSION = 1
METADATA_KEY = "sgkit.delta"
KEYS = frozenset({"format_version", "sgkit_version", "model", "tuned", "rank", "error", "settings"})
FULL, UP, DOWN = "full.", "up.", "down."
_LONGEST_HASH = 128


@dataclass(frozen=True, kw_only=True)
class DeltaHeader:
    """What a delta says of itself; reading it reads no tensor."""

    model_hash: str
    """Content hash of the model that was tuned."""
    tuned_hash: str
    """That of the result."""
    rank: int | None
    """Of the differences; ``None``: the tensors are whole."""
    error: float
    """Length of what the rank leaves out of all differences, as a fraction of the length of the differences."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Plain facts about the tuning."""
    sgkit_version: str = sgkit.__version__
    parameters: int = 0
    """Numbers in the file."""


# --------------------------------------------------------------------------------------------------- writing


def save_delta(
    model: Model, tuned: Model, path: str | Path, *, rank: int | None = None, settings: Mapping[str, Any] | None = None
) -> DeltaHeader:
    """Write what differs between the generators of ``model`` and ``tuned``, whole or not at all; what was written.

    Args:
        model: the model that was tuned.
        tuned: the result: a model of the same configuration.
        path: the file.
        rank: keep differences of matrices as products of this rank, where that is smaller; ``None``: exactly.
        settings: plain facts about the tuning.

    Raises:
        UsageError: ``path`` does not end in ``.safetensors``, the rank is below 1, or the models differ in shape.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        better = path.with_suffix(".safetensors").name if path.name else "delta.safetensors"
        raise UsageError(f"A file of tuned weights must be named .safetensors; {path.name!r} was given. Use {better}.")
    if rank is not None and rank < 1:
        raise UsageError(f"rank is {rank}; it must be 1 or more. Without a rank the weights are kept exactly.")
    tensors, error = _differences(model.generator, tuned.generator, rank)
    model_hash = model.content_hash()
    header = DeltaHeader(
        model_hash=model_hash,
        tuned_hash=Model(config=model.config, generator=_tuned(model.generator, tensors)).content_hash(),
        rank=rank,
        error=error,
        settings=settings or {},
        parameters=sum(tensor.numel() for tensor in tensors.values()),
    )
    text = {
        "format_version": FORMAT_VERSION,
        "sgkit_version": header.sgkit_version,
        "model": header.model_hash,
        "tuned": header.tuned_hash,
        "rank": rank,
        "error": error,
        "settings": dict(header.settings),
    }
    write_safetensors(tensors, path, key=METADATA_KEY, header=text)
    return header


def _differences(base: Generator, tuned: Generator, rank: int | None) -> tuple[dict[str, Tensor], float]:
    """The tensors of a file, and the error of the rank."""
    before, after = base.state_dict(), tuned.state_dict()
    if {name: one.shape for name, one in before.items()} != {name: one.shape for name, one in after.items()}:
        raise UsageError("The two models differ in shape, so one is not the other one tuned.")
    tensors: dict[str, Tensor] = {}
    left_out, whole = 0.0, 0.0
    for name, old in before.items():
        old, new = old.detach().cpu(), after[name].detach().cpu()
        if torch.equal(old, new):
            continue
        difference = new.double() - old.double()
        whole += difference.square().sum().item()
        rows = len(old) if old.ndim else 1
        columns = old.numel() // rows
        if rank is None or rank * (rows + columns) >= old.numel():
            tensors[FULL + name] = new.contiguous()
            continue
        u, singular, vh = torch.linalg.svd(difference.reshape(rows, columns), full_matrices=False)
        left_out += singular[rank:].square().sum().item()
        root = singular[:rank].sqrt()
        tensors[UP + name] = (u[:, :rank] * root).float().contiguous()
        tensors[DOWN + name] = (root[:, None] * vh[:rank]).float().contiguous()
    return tensors, math.sqrt(left_out / whole) if whole else 0.0


# --------------------------------------------------------------------------------------------------- reading


def read_delta_header(path: str | Path) -> DeltaHeader:
    """The header of a delta; nothing else of it is read.

    Raises:
        CheckpointError: it is damaged.
        InputError: the file is missing, or it is of another kind.
    """
    return _headers(check_delta(path))[0]


def with_delta(model: Model, path: str | Path) -> Model:
    """``model`` with the weights in the file at ``path``; its networks share what did not change.

    The raw generator is left out: it was not tuned.

    Raises:
        CheckpointError: the file is damaged, hostile, or does not fit its own header.
        InputError: the file is missing, or it was tuned for a different model.
    """
    file = check_delta(path)
    header, raw = _headers(file)
    own = model.content_hash()
    if header.model_hash != own:
        raise InputError(
            f"{file} was tuned for a different model: it belongs to the one with the hash {header.model_hash[:12]}, "
            f"and the given one has {own[:12]}. Give that model before the +, or tune this one: "
            "sgkit tune MODEL PROJECTION --out DELTA.safetensors"
        )
    with failing_as(f"Cannot use tuned weights {str(file)!r}"):
        _check_names(raw, model.generator)
        tensors = {name: torch.from_numpy(array) for name, array in float_arrays(file, raw).items()}
        generator = _tuned(model.generator, tensors)
    info = model.info.after_tuning(own, header.settings)
    found = Model(config=model.config, generator=generator, discriminator=model.discriminator, info=info)
    if found.content_hash() != header.tuned_hash:
        raise CheckpointError(
            f"Cannot use tuned weights {str(file)!r}: they are damaged: the tuned model has the hash "
            f"{found.content_hash()[:12]}, and the file says {header.tuned_hash[:12]}. Copy or make the file again."
        )
    return found


def _headers(file: Path) -> tuple[DeltaHeader, SafetensorsHeader]:
    with failing_as(f"Cannot read tuned weights {str(file)!r}"):
        raw = read_safetensors_header(file)
        return _header(raw), raw


def _header(raw: SafetensorsHeader) -> DeltaHeader:
    with bad_data("its header"):
        values = raw.values(METADATA_KEY, names=KEYS, version=FORMAT_VERSION)
        texts, rank, error = (
            [values[key] for key in ("model", "tuned", "sgkit_version")],
            values["rank"],
            values["error"],
        )
        if not all(isinstance(one, str) and len(one) <= _LONGEST_HASH for one in texts):
            raise CheckpointError("its header is damaged: hashes must be short texts.")
        is_rank = rank is None or (type(rank) is int and rank >= 1)
        if not is_rank or not isinstance(error, (int, float)) or not isinstance(values["settings"], dict):
            raise CheckpointError("its header is damaged: the rank or its error is not a number.")
        return DeltaHeader(
            model_hash=texts[0],
            tuned_hash=texts[1],
            rank=rank,
            error=float(error),
            settings=values["settings"],
            sgkit_version=texts[2],
            parameters=sum(math.prod(entry.shape) for entry in raw.tensors.values()),
        )


def _check_names(raw: SafetensorsHeader, generator: Generator) -> None:
    """Refuse tensors that the generator has no place for, before any is read."""
    wanted = {name: tuple(one.shape) for name, one in generator.state_dict().items()}
    for name, entry in raw.tensors.items():
        kind, _, key = name.partition(".")
        shape = wanted.get(key)
        if shape is None or f"{kind}." not in (FULL, UP, DOWN):
            raise CheckpointError(f"it holds {name!r}, for which the model has no place.")
        if entry.dtype != "F32":
            raise CheckpointError(f"{name} is of type {entry.dtype}; F32 is expected.")
        rows = shape[0] if shape else 1
        columns = math.prod(shape) // rows
        partner = raw.tensors.get((DOWN if kind == "up" else UP) + key)
        if f"{kind}." == FULL:
            fits = entry.shape == shape
        else:
            rank = entry.shape[-1 if kind == "up" else 0] if len(entry.shape) == 2 else 0
            pair = {UP: (rows, rank), DOWN: (rank, columns)}
            other = pair[DOWN if kind == "up" else UP]
            fits = entry.shape == pair[f"{kind}."] and partner is not None and partner.shape == other
            fits = fits and rank <= min(rows, columns) and FULL + key not in raw.tensors
        if not fits:
            raise CheckpointError(f"{name} has shape {list(entry.shape)}, which does not fit {key} {list(shape)}.")


def _tuned(base: Generator, tensors: Mapping[str, Tensor]) -> Generator:
    """A generator with the tensors of a file; those that did not change are shared with ``base``.

    Products are summed in float64, term by term, so that every machine gets the same bits.
    """
    changed: dict[str, Tensor] = {}
    for name, old in base.state_dict().items():
        if FULL + name in tensors:
            changed[name] = tensors[FULL + name].to(old)
        elif UP + name in tensors:
            up, down = (tensors[part + name].double() for part in (UP, DOWN))
            total = old.detach().cpu().double().reshape(len(up), -1).clone()
            for column, row in zip(up.unbind(1), down.unbind(0), strict=True):
                product = column[:, None] * row
                total += product
            changed[name] = total.reshape(old.shape).to(old)
        else:
            changed[name] = old
    build, what = builder("generator", base.config)
    return build_around(build, changed, what=what)  # type: ignore[return-value]
