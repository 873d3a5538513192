"""Encoder files (``.safetensors``): the encoder's tensors, and the content hash of the model that it belongs to.

The state of a training that is not finished has the same form, with the optimizer's moments.
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
from sgkit.checkpoint.assemble import build_around
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.model import Encoder, Model
from sgkit.runtime.path_checks import check_encoder
from sgkit.runtime.tensor_files import write_safetensors
from sgkit.unpickle.budget import bad_data, failing_as
from sgkit.unpickle.safetensors_header import SafetensorsHeader, float_arrays, read_safetensors_header

FORMAT_VERSION = 1
METADATA_KEY = "sgkit.encoder"
KEYS = frozenset({"format_version", "sgkit_version", "model", "space", "images", "settings"})
_LONGEST_HASH = 128


@dataclass(frozen=True, kw_only=True)
class EncoderHeader:
    """What an encoder file says of itself; reading it reads no tensor."""

    model_hash: str
    """Content hash of the model whose latents it finds."""
    space: str
    """``w`` or ``w+``."""
    images: int
    """That it was trained on."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Plain facts about the training."""
    sgkit_version: str = sgkit.__version__
    parameters: int = 0
    """Numbers in the file."""

    @property
    def rows(self) -> int | None:
        """w that it gives for an image; ``None``: as many as the model has."""
        return 1 if self.space == "w" else None


def save_encoder(encoder: Encoder, path: str | Path, header: EncoderHeader) -> Path:
    """Write an encoder, whole or not at all.

    Raises:
        UsageError: ``path`` does not end in ``.safetensors``.
    """
    path = Path(path)
    check_encoder_name(path)
    write_tensors(encoder.state_dict(), path, header)
    return path


def check_encoder_name(path: Path) -> None:
    """Refuse a name that is not that of an encoder file.

    Raises:
        UsageError: it does not end in ``.safetensors``.
    """
    if path.suffix != ".safetensors":
        better = path.with_suffix(".safetensors").name if path.name else "encoder.safetensors"
        raise UsageError(f"An encoder file must be named .safetensors; {path.name!r} was given. Use {better}.")


def write_tensors(tensors: Mapping[str, Tensor], path: Path, header: EncoderHeader) -> None:
    """Write tensors under ``header``."""
    text = {
        "format_version": FORMAT_VERSION,
        "sgkit_version": header.sgkit_version,
        "model": header.model_hash,
        "space": header.space,
        "images": header.images,
        "settings": dict(header.settings),
    }
    plain = {name: tensor.detach().cpu().float().contiguous() for name, tensor in tensors.items()}
    write_safetensors(plain, path, key=METADATA_KEY, header=text)


def read_encoder_header(path: str | Path) -> EncoderHeader:
    """The header of an encoder file; nothing else of it is read.

    Raises:
        CheckpointError: it is damaged.
        InputError: the file is missing, or it is of another kind.
    """
    return _headers(check_encoder(path))[0]


def load_encoder(path: str | Path, model: Model) -> Encoder:
    """The encoder in a file, for ``model`` or for one that was tuned from the model that it was trained with.

    Raises:
        CheckpointError: the file is damaged, hostile, or does not fit the model.
        InputError: the file is missing, or it belongs to a different model.
    """
    file = check_encoder(path)
    header, tensors = read_tensors(file)
    own = model.content_hash()
    if header.model_hash not in (own, *model.info.tuned_from):
        raise InputError(
            f"{file} was trained for a different model: it belongs to the one with the hash {header.model_hash[:12]}, "
            f"and the given one has {own[:12]}. Give that model, or train an encoder for this one: "
            "sgkit encoder train MODEL --out ENCODER.safetensors"
        )
    rows = model.num_ws if header.rows is None else header.rows
    with failing_as(f"Cannot use encoder {str(file)!r}"):
        encoder = build_around(lambda: Encoder(model.config, rows=rows), tensors, what="the encoder")
    encoder.eval().requires_grad_(False)
    return encoder.to(model.device)


@torch.no_grad()
def encoded(encoder: Encoder | None, images: Tensor) -> Tensor | None:
    """w+ [N, num_ws, w_dim] that a search for ``images`` starts from; ``None`` without an encoder."""
    return None if encoder is None else encoder(images)


def read_tensors(file: Path) -> tuple[EncoderHeader, dict[str, Tensor]]:
    """The header and all tensors of a file.

    Raises:
        CheckpointError: it is damaged.
    """
    header, raw = _headers(file)
    with failing_as(f"Cannot read encoder {str(file)!r}"):
        return header, {name: torch.from_numpy(array) for name, array in float_arrays(file, raw).items()}


def _headers(file: Path) -> tuple[EncoderHeader, SafetensorsHeader]:
    with failing_as(f"Cannot read encoder {str(file)!r}"):
        raw = read_safetensors_header(file)
        return _header(raw), raw


def _header(raw: SafetensorsHeader) -> EncoderHeader:
    with bad_data("its header"):
        values = raw.values(METADATA_KEY, names=KEYS, version=FORMAT_VERSION)
        texts, images = [values["model"], values["sgkit_version"]], values["images"]
        if not all(isinstance(one, str) and len(one) <= _LONGEST_HASH for one in texts):
            raise CheckpointError("its header is damaged: hashes must be short texts.")
        if values["space"] not in ("w", "w+"):
            raise CheckpointError(f"it is of the unknown space {str(values['space'])[:20]!r}.")
        if type(images) is not int or images < 0 or not isinstance(values["settings"], dict):
            raise CheckpointError("its header is damaged: the number of images is not a whole number.")
        return EncoderHeader(
            model_hash=texts[0],
            space=values["space"],
            images=images,
            settings=values["settings"],
            sgkit_version=texts[1],
            parameters=sum(math.prod(entry.shape) for entry in raw.tensors.values()),
        )
