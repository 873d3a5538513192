"""The formats that are read, and the model that comes of a file of any of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sgkit.checkpoint.adapters import nvidia, nvidia_state_dict, rosinality, rosinality_stylegan1, tensorflow
from sgkit.checkpoint.adapters.translate import Adapted, Format, adapt
from sgkit.checkpoint.assemble import assemble
from sgkit.checkpoint.foreign import read_foreign
from sgkit.checkpoint.foreign_file import ForeignFile
from sgkit.checkpoint.source_text import reached_by
from sgkit.errors import CheckpointError, ConfigError, UsageError
from sgkit.model import Model, ModelInfo
from sgkit.unpickle.budget import bad_data

FORMATS: dict[str, Format] = {
    "stylegan2-ada-pytorch": nvidia.FORMAT,
    "stylegan3": nvidia.FORMAT,
    "nvidia-state-dict": nvidia_state_dict.FORMAT,
    "stylegan2-tf": tensorflow.FORMAT,
    "stylegan-tf": tensorflow.FORMAT,
    "progan-tf": tensorflow.FORMAT,
    "rosinality-stylegan2": rosinality.FORMAT,
}
"""By the kind that :mod:`sgkit.checkpoint.foreign` or :mod:`sgkit.checkpoint.state_dicts` finds."""
WITHOUT_SIZE = "rosinality-stylegan1"
"""The kind whose files do not say how large the images are."""
MOST_IGNORED = 40
"""Names of ignored tensors that a provenance keeps."""
SNAPSHOT_NAME = re.compile(r"network-snapshot-(\d{6})")


def model_of(path: Path, *, image_size: int | None = None) -> Model:
    """The model that a foreign checkpoint holds, in evaluation mode.

    Args:
        path: the checkpoint.
        image_size: side of the images, for files that do not say it (rosinality's StyleGAN1).

    Raises:
        CheckpointError: the file is damaged, hostile or unsupported; what does not fit is named.
        InputError: the file is missing.
        UsageError: ``image_size`` is given, but the file itself says it.
    """
    return model_from(read_foreign(path), path, image_size=image_size)


def model_from(file: ForeignFile, path: Path, *, image_size: int | None = None) -> Model:
    """The model that a description of the checkpoint at ``path`` gives."""
    texts = dict.fromkeys(network.source for network in file.networks.values())
    calls = ", ".join(dict.fromkeys(call for text in texts for call in reached_by(text)))
    try:
        with bad_data("a network in it"):
            return _build(file, _adapted(file, image_size), calls)
    except (CheckpointError, ConfigError) as error:
        message = f"Cannot use checkpoint {str(path)!r} ({file.kind}): {error}"
        warning = f" The Python text in it, which was not run, calls {calls}." if calls else ""
        raise CheckpointError(message + warning) from error


def _adapted(file: ForeignFile, image_size: int | None) -> Adapted:
    if file.kind == "lucidrains-stylegan2":
        raise CheckpointError(
            "lucidrains' networks are a different architecture, which sgkit does not have. Generate images with "
            "lucidrains' tools, and train a new model on the original images with sgkit."
        )
    if file.kind == WITHOUT_SIZE:
        return rosinality_stylegan1.adapt_size(file, image_size)
    if image_size is not None:
        raise UsageError(f"{file.file_name} records the size of its images. Remove --size {image_size}.")
    return adapt(file, FORMATS[file.kind])


def _build(file: ForeignFile, adapted: Adapted, calls: str) -> Model:
    parts = adapted.networks
    notes = _merged(file.notes, adapted.notes)
    provenance: dict[str, Any] = {"source_file": file.file_name, "source_kind": file.project or file.kind, **notes}
    if calls:
        provenance["embedded_source"] = f"calls {calls}; sgkit never runs it, the project's own tools do"
    if "generator" not in parts:
        parts["generator"] = parts["raw_generator"]
        provenance["generator"] = "the file holds no moving average; the generator as trained is used"
    named = SNAPSHOT_NAME.search(file.file_name)  # NVIDIA's tools record the images seen only there
    kimg = adapted.kimg or (float(named[1]) if named else 0.0)
    left_out = provenance.setdefault("left_out", {})
    info = ModelInfo(kimg=kimg, lod=adapted.lod, provenance=provenance)
    model = assemble(adapted.config, parts, info, left_out=left_out)
    if not left_out:
        del provenance["left_out"]
    return model


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Notes of the reader and of the translator; lists are joined."""
    both = {**one, **other}
    if "ignored" in both:
        ignored = [*one.get("ignored", []), *other.get("ignored", [])]
        rest = len(ignored) - MOST_IGNORED
        both["ignored"] = ignored if rest <= 0 else [*ignored[:MOST_IGNORED], f"and {rest} more"]
    return both
