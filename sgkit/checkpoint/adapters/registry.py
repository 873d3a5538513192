"""Which adapter reads which kind of checkpoint, and the model that comes of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sgkit.checkpoint.adapters import nvidia, nvidia_shapes, rosinality, rosinality1, tensorflow
from sgkit.checkpoint.adapters.tables import Adapted
from sgkit.checkpoint.assign import assemble, misfits
from sgkit.checkpoint.description import ForeignFile
from sgkit.checkpoint.embedded import reached_by
from sgkit.checkpoint.foreign import read_foreign
from sgkit.errors import CheckpointError, ConfigError, UsageError
from sgkit.model import Model, ModelInfo
from sgkit.unpickle.budget import bad_data

Adapter = Callable[[ForeignFile], Adapted]
ADAPTERS: dict[str, Adapter] = {
    "stylegan2-ada-pytorch": nvidia.adapt,
    "stylegan3": nvidia.adapt,
    "nvidia-state-dict": nvidia_shapes.adapt,
    "stylegan2-tf": tensorflow.adapt,
    "stylegan-tf": tensorflow.adapt,
    "progan-tf": tensorflow.adapt,
    "rosinality-stylegan2": rosinality.adapt,
    "rosinality-stylegan1": rosinality1.adapt,
}
SIZELESS = "rosinality-stylegan1"
"""The kind whose files do not say how large the images are."""
MOST_IGNORED = 40
"""Names of ignored tensors that a provenance keeps."""
SNAPSHOT_NAME = re.compile(r"network-snapshot-(\d{6})")


def model_of(path: str | Path, *, image_size: int | None = None) -> Model:
    """The model that a foreign checkpoint holds, in evaluation mode.

    Args:
        path: the checkpoint.
        image_size: side of the images, for files that do not say it (rosinality's StyleGAN1).

    Raises:
        CheckpointError: the file is damaged, hostile or unsupported; what does not fit is named.
        InputError: there is no such file.
        UsageError: ``image_size`` is given, but the file itself says it.
    """
    return model_from(read_foreign(path), path, image_size=image_size)


def model_from(file: ForeignFile, path: str | Path, *, image_size: int | None = None) -> Model:
    """The model that a description of the checkpoint at ``path`` gives.

    Raises:
        CheckpointError, UsageError: as :func:`model_of`.
    """
    try:
        with bad_data("a network in it"):
            return _build(file, _adapter(file, image_size)(file))
    except (CheckpointError, ConfigError) as error:
        message = f"Cannot use checkpoint {str(path)!r} ({file.kind}): {error}"
        calls = _embedded_calls(file)
        warning = f" The Python text in it, which was not run, calls {calls}." if calls else ""
        raise CheckpointError(message + warning) from error


def _adapter(file: ForeignFile, image_size: int | None) -> Adapter:
    if file.kind == "lucidrains-stylegan2":
        raise CheckpointError(
            "lucidrains' networks are a different architecture, which sgkit does not have. Generate images with "
            "lucidrains' tools, and train a new model on the original images with sgkit."
        )
    if image_size is None:
        return ADAPTERS[file.kind]
    if file.kind != SIZELESS:
        raise UsageError(f"{file.file_name} records the size of its images. Remove --size {image_size}.")
    return lambda f: rosinality1.adapt(f, image_size=image_size)


def _build(file: ForeignFile, adapted: Adapted) -> Model:
    parts = adapted.networks
    notes = _merged(file.notes, adapted.notes)
    provenance = {"source_file": file.file_name, "source_kind": file.project or file.kind, **notes}
    calls = _embedded_calls(file)
    if calls:
        provenance["embedded_source"] = f"calls {calls}; sgkit never runs it, the project's own tools do"
    if "generator" not in parts:
        parts["generator"] = parts["raw_generator"]
        provenance["generator"] = "the file holds no moving average; the generator as trained is used"
    for name, error in misfits(adapted.config, parts).items():
        del parts[name]
        provenance.setdefault("left_out", {})[name] = error
    kimg = adapted.kimg or _kimg(file.file_name)
    return assemble(adapted.config, parts, ModelInfo(kimg=kimg, lod=adapted.lod, provenance=provenance))


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Notes of the reader and of the adapter; lists are joined."""
    both = {**one, **other}
    if "ignored" in both:
        ignored = [*one.get("ignored", []), *other.get("ignored", [])]
        rest = len(ignored) - MOST_IGNORED
        both["ignored"] = ignored if rest <= 0 else [*ignored[:MOST_IGNORED], f"and {rest} more"]
    return both


def _embedded_calls(file: ForeignFile) -> str:
    """What the source text of a file's networks would reach, as a list in words."""
    texts = dict.fromkeys(network.source for network in file.networks.values())
    return ", ".join(dict.fromkeys(call for text in texts for call in reached_by(text)))


def _kimg(file_name: str) -> float:
    """NVIDIA's tools tell the images seen in the file's name only."""
    named = SNAPSHOT_NAME.search(file_name)
    return float(named[1]) if named else 0.0
