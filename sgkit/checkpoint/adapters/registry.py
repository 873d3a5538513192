"""Which adapter reads which kind of checkpoint, and the model that comes of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from sgkit.checkpoint.adapters import nvidia, rosinality, tensorflow
from sgkit.checkpoint.adapters.tables import Adapted
from sgkit.checkpoint.assign import adopt
from sgkit.checkpoint.foreign import ForeignFile, read_foreign
from sgkit.errors import CheckpointError, ConfigError
from sgkit.model import Discriminator, Generator, Model, ModelInfo

__all__ = ["model_of"]

ADAPTERS: dict[str, Callable[[ForeignFile], Adapted]] = {
    "stylegan2-ada-pytorch": nvidia.adapt,
    "stylegan3": nvidia.adapt,
    "stylegan2-tf": tensorflow.adapt,
    "stylegan-tf": tensorflow.adapt,
    "progan-tf": tensorflow.adapt,
    "rosinality-stylegan2": rosinality.adapt,
}
SNAPSHOT_NAME = re.compile(r"network-snapshot-(\d{6})")


def model_of(path: str | Path) -> Model:
    """The model that a foreign checkpoint holds, in evaluation mode.

    Raises:
        CheckpointError: the file is damaged, hostile or unsupported; what does not fit is named.
        InputError: there is no such file.
    """
    path = Path(path)
    file = read_foreign(path)
    try:
        return _build(file, path)
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"Cannot use checkpoint {str(path)!r} ({file.kind}): {error}") from error


def _build(file: ForeignFile, path: Path) -> Model:
    if file.kind == "lucidrains-stylegan2":
        raise CheckpointError(
            "lucidrains' networks are an architecture of their own, which sgkit does not have. Train anew with sgkit, "
            "or generate images with lucidrains' tools and use those."
        )
    if file.kind not in ADAPTERS:
        raise CheckpointError(f"this kind is not supported yet; supported are {', '.join(ADAPTERS)}.")
    adapted = ADAPTERS[file.kind](file)
    config, parts = adapted.config, adapted.networks
    provenance = {"source_file": path.name, "source_kind": file.kind, **adapted.notes}
    if "generator" not in parts:
        parts["generator"] = parts["raw_generator"]
        provenance["generator"] = "the file holds no moving average; the generator as trained stands in for it"
    generator = adopt(lambda: Generator(config), parts["generator"], what="the generator")
    raw = discriminator = None
    if "raw_generator" in parts:
        raw = adopt(lambda: Generator(config), parts["raw_generator"], what="the raw generator")
    if "discriminator" in parts:
        discriminator = adopt(lambda: Discriminator(config), parts["discriminator"], what="the discriminator")
    info = ModelInfo(kimg=adapted.kimg or _kimg(path), lod=adapted.lod, provenance=provenance)
    return Model(config=config, generator=generator, discriminator=discriminator, raw_generator=raw, info=info)


def _kimg(path: Path) -> float:
    """NVIDIA's tools tell the images seen in the file's name only."""
    named = SNAPSHOT_NAME.search(path.name)
    return float(named[1]) if named else 0.0
