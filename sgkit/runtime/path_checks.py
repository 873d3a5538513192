"""Checks of paths that are given as models, latents, stores or images.

A path that is missing, a web address or of another kind is an :class:`~sgkit.errors.InputError`: the message says what
is there instead, and what to do with it.

Nothing heavy is imported, so a wrong path is found before torch is loaded.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Any

from sgkit.errors import InputError
from sgkit.packaged import MODELS as PACKAGED_MODELS
from sgkit.packaged import packaged_path
from sgkit.runtime.detect import FileType, detect
from sgkit.runtime.file_kinds import (
    BROKEN,
    CHECKPOINT_SUFFIXES,
    IMAGE_SOURCES,
    IMAGES,
    LATENTS,
    MODEL_FOLDERS,
    MODELS,
    PACKED,
    PHRASES,
)
from sgkit.runtime.model_names import split_name
from sgkit.text import shell_word

LATENT = "latent.npz"
"""The latent file in the folder of a projection."""
_TUNE = "sgkit tune MODEL PROJECTION --out DELTA.safetensors"
_TRAIN_CLASSIFIER = "sgkit classifier train STORE --out CLASSIFIER.safetensors"
_TRAIN_ENCODER = "sgkit encoder train MODEL --out ENCODER.safetensors"


def check_model(path: str | Path) -> FileType:
    """What is at ``path``: a file or folder that may hold a model, the name of a packaged one, or ``MODEL+DELTA``."""
    base, delta = split_name(path)
    if delta is not None:
        check_delta(delta)
        return check_model(base)._replace(path=Path(path))
    allowed = "Give a model file (.safetensors, .pkl, .pt), the folder of a training run, or a name from: sgkit models"
    found = check_exists(packaged_path(path), "model", allowed, names=PACKAGED_MODELS)
    return _allowed(found, "a model", MODELS | PACKED | MODEL_FOLDERS | {"unknown"})


def check_latents(path: str | Path) -> FileType:
    """What is at ``path``, a file or folder that may hold latents."""
    found = check_exists(
        path, "latent file", "Give a latent file (.npz, .npy, .pt), or a folder that 'sgkit project' made."
    )
    if found.kind in IMAGES | IMAGE_SOURCES:
        raise InputError(
            f"Not a latent file: {found.path} is {found.phrase}. Find its latent first, then give that folder: "
            f"sgkit project MODEL {shell_word(found.path)} --out FOLDER"
        )
    return _allowed(found, "a latent file", (MODELS | LATENTS | {"unknown"}) - {"safetensors"})


def latent_files(path: str | Path) -> list[Path]:
    """The latent files at ``path``: itself, or those in a folder of projections, by name."""
    found = check_latents(path)
    pattern = {"projection": LATENT, "projections": f"*/{LATENT}"}.get(found.kind)
    if pattern is None:
        return [found.path]
    return sorted(file for file in found.path.glob(pattern) if not file.parent.name.startswith("."))  # unfinished ones


def check_directions(path: str | Path) -> Path:
    """``path``, a file of directions."""
    found = check_exists(
        path, "direction file", "Find directions with: sgkit directions find MODEL --method sefa --out FILE.safetensors"
    )
    if found.kind == "safetensors":
        raise InputError(
            f"Not a direction file: {found.path} is a .safetensors file without directions. Find some with: "
            "sgkit directions find MODEL --method sefa --out FILE.safetensors"
        )
    return _allowed(found, "a direction file", {"directions"}).path


def check_delta(path: str | Path) -> Path:
    """``path``, a file of tuned weights."""
    return _check_own(path, "a file of tuned weights", f"Make one with: {_TUNE}", {"delta"})


def check_encoder(path: str | Path) -> Path:
    """``path``, a file with an encoder."""
    return _check_own(path, "an encoder", f"Train one with: {_TRAIN_ENCODER}", {"encoder", "unknown"})


def check_classifier(path: str | Path) -> Path:
    """``path``, a file with a classifier of images."""
    return _check_own(path, "a classifier", f"Train one with: {_TRAIN_CLASSIFIER}", {"classifier", "unknown"})


def _check_own(path: str | Path, what: str, advice: str, kinds: AbstractSet[str]) -> Path:
    """``path``, a .safetensors file of these ``kinds``; ``what`` names it, with its article."""
    found = check_exists(path, what.partition(" ")[2], advice)
    if found.kind == "safetensors":
        raise InputError(f"Not {what}: {found.path} is a different .safetensors file. {advice}")
    return _allowed(found, what, kinds).path


def check_store(path: str | Path) -> Path:
    """``path``, where a store may be."""
    found = check_exists(path, "store", "Make one with: sgkit prepare IMAGES --out STORE --size 64")
    other = IMAGES | MODELS | MODEL_FOLDERS | IMAGE_SOURCES | BROKEN
    return _allowed(found, "a store", PHRASES.keys() - other).path


def check_training_images(path: str | Path) -> str:
    """``path``, where a store or images to prepare one from may be."""
    if str(path).startswith("sample:"):
        return str(path)
    found = check_exists(path, "store or folder of images", "Make a store with: sgkit prepare IMAGES --out STORE")
    other = MODELS | MODEL_FOLDERS | BROKEN | IMAGES
    _allowed(found, "a store", PHRASES.keys() - other)
    return str(path)


def is_image_source(path: str | Path) -> bool:
    """Whether a store can be prepared from what is at ``path``: a folder or an archive of images, or a dataset."""
    return str(path).startswith("sample:") or detect(path).kind in IMAGE_SOURCES | {"tar", "lmdb", "parquet"}


def check_images(path: str | Path) -> str:
    """``path``, where images may be: files, folders, archives, datasets, or ``sample:`` images."""
    if str(path).startswith("sample:"):
        return str(path)
    found = check_exists(path, "file or folder", "Check the spelling.")
    _allowed(found, "a source of images", PHRASES.keys() - BROKEN)
    return str(path)


def check_mask(path: str | Path) -> Path:
    """``path``, where an image file that draws a mask may be."""
    found = check_exists(path, "mask", "Give an image that is white where the shape is, for example a PNG.")
    return _allowed(found, "a mask", IMAGES | {"unknown"}).path


def check_measured(path: str | Path) -> str:
    """``path``, where images or a model may be; or the name of a packaged model."""
    if split_name(path).delta is not None:
        check_model(path)
        return str(path)
    return str(path) if packaged_path(path) != Path(path) else check_images(path)


def check_any(path: str | Path) -> FileType:
    """What is at ``path``, whatever it is; or the packaged model of that name; or ``MODEL+DELTA``."""
    if split_name(path).delta is not None:
        return check_model(path)
    return check_exists(packaged_path(path), "file or folder", "Check the spelling.", names=PACKAGED_MODELS)


def is_url(text: str | Path) -> bool:
    """Whether a path is really a web address; ``pathlib`` makes one slash of two, so one is enough."""
    scheme, colon, rest = str(text).partition(":/")
    return bool(colon and rest) and scheme.lower() in ("http", "https", "ftp", "s3", "gs", "hf")


def check_exists(path: str | Path, what: str, allowed: str, *, names: Collection[str] = ()) -> FileType:
    """What is at ``path``; in messages, ``what`` names what was expected and ``allowed`` what to give.

    ``names``: what may be given besides paths.
    """
    if is_url(path):
        scheme, _, rest = str(path).partition(":")
        url = f"{scheme}://{rest.lstrip('/')}"
        raise InputError(
            f"sgkit does not download models or data: {url} is a web address. Download the file first, for example "
            f"with 'curl -LO {url}', and give the file's name."
        )
    found = detect(path)
    if found.kind == "missing":
        raise InputError(f"There is no {what} {path}.{_similar(Path(path), names)} {allowed}")
    return found


def _similar(path: Path, names: Collection[str]) -> str:
    """A sentence about what is at or beside ``path`` instead, or which of ``names``; empty if there is nothing."""
    meant = difflib.get_close_matches(str(path).lower(), names, n=1, cutoff=0.75)
    if meant:
        return f" Did you mean '{meant[0]}'?"
    with suppress(OSError, ValueError):
        if path.is_symlink():
            return f" It is a link to {path.readlink()}, which does not exist."
        if not path.parent.is_dir():
            return f" There is no folder {path.parent} either."
        near = difflib.get_close_matches(path.name, _entries(path.parent), n=3, cutoff=0.75)
        if near:
            return f" Did you mean {' or '.join(str(path.with_name(name)) for name in near)}?"
    return ""


def _entries(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in itertools.islice(entries, 1000))


def _allowed(found: FileType, what: str, kinds: AbstractSet[str]) -> FileType:
    """What was found if it is of one of these kinds, else an error that says what it is and what to do with it."""
    if found.kind in kinds:
        return found
    text = f"Not {what}: {found.path} is {found.phrase}. {found.advice}"
    if found.kind == "models":
        names = sorted(path.name for path in found.path.iterdir() if path.suffix.lower() in CHECKPOINT_SUFFIXES)
        text += f" They are: {', '.join(names[:8])}."
    raise InputError(text.strip())


def one_or_many(value: Any) -> Iterable[Any]:
    """``value`` if it is a collection, else a list of this one path, text or number; a text is not a collection."""
    single = isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable)
    return [value] if single else value
