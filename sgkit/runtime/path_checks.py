"""Checks of paths that are given as models, latents, stores or images: an error says what is there instead.

Nothing heavy is imported, so a wrong path is found before torch is loaded.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sgkit.errors import InputError
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
)
from sgkit.text import shell_word

LATENT = "latent.npz"
"""The latent file in the folder of a projection."""


def check_model(path: str | Path) -> FileType:
    """What is at ``path``, a file or folder that may hold a model.

    Raises:
        InputError: it is missing, a web address, or of another kind; the message says which and what to do with it.
    """
    found = check_exists(path, "model", "Give a model file (.safetensors, .pkl, .pt), or the folder of a training run.")
    if found.kind in MODELS | PACKED | MODEL_FOLDERS or found.kind == "unknown":
        return found
    raise _refused(found, "a model")


def check_latents(path: str | Path) -> FileType:
    """What is at ``path``, a file or folder that may hold latents.

    Raises:
        InputError: it is missing, a web address, or of another kind; the message says which and what to do with it.
    """
    found = check_exists(
        path, "latent file", "Give a latent file (.npz, .npy, .pt), or a folder that 'sgkit project' made."
    )
    if found.kind in (MODELS | LATENTS) - {"safetensors"} or found.kind == "unknown":
        return found
    if found.kind in IMAGES | {"images"}:
        raise InputError(
            f"Not a latent file: {found.path} is {found.phrase}. Find its latent first, then give that folder: "
            f"sgkit project MODEL {shell_word(found.path)} --out FOLDER"
        )
    raise _refused(found, "a latent file")


def latent_files(path: str | Path) -> list[Path]:
    """The latent files at ``path``: itself, or those in a folder of projections, by name.

    Raises:
        InputError: as :func:`check_latents`.
    """
    found = check_latents(path)
    pattern = {"projection": LATENT, "projections": f"*/{LATENT}"}.get(found.kind)
    return [found.path] if pattern is None else sorted(found.path.glob(pattern))


def check_store(path: str | Path) -> Path:
    """``path``, where a store may be.

    Raises:
        InputError: it is missing, a web address, or clearly something else.
    """
    found = check_exists(path, "store", "Make one with: sgkit prepare IMAGES --out STORE --size 64")
    if found.kind in IMAGES | MODELS | MODEL_FOLDERS | IMAGE_SOURCES | BROKEN:
        raise _refused(found, "a store")
    return found.path


def check_images(path: str | Path) -> str:
    """``path``, where images may be: files, folders, archives, datasets, or ``sample:`` images.

    Raises:
        InputError: it is missing, a web address, or a failed download.
    """
    if str(path).startswith("sample:"):
        return str(path)
    found = check_exists(path, "file or folder", "Check the spelling.")
    if found.kind in BROKEN:
        raise _refused(found, "a source of images")
    return str(path)


def is_url(text: str | Path) -> bool:
    """Whether a path is really a web address; ``pathlib`` makes one slash of two, so one is enough."""
    scheme, colon, rest = str(text).partition(":/")
    return bool(colon and rest) and scheme.lower() in ("http", "https", "ftp", "s3", "gs", "hf")


def check_exists(path: str | Path, what: str, allowed: str) -> FileType:
    """What is at ``path``; in messages, ``what`` names what was expected and ``allowed`` what to give.

    Raises:
        InputError: it is missing, or a web address.
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
        raise InputError(f"There is no {what} {path}.{_similar(Path(path))} {allowed}")
    return found


def _similar(path: Path) -> str:
    """A sentence about what is at or beside ``path`` instead; empty where there is nothing to say."""
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


def _refused(found: FileType, what: str) -> InputError:
    text = f"Not {what}: {found.path} is {found.phrase}. {found.advice}"
    if found.kind == "models":
        names = sorted(path.name for path in found.path.iterdir() if path.suffix.lower() in CHECKPOINT_SUFFIXES)
        text += f" They are: {', '.join(names[:8])}."
    return InputError(text.strip())


def one_or_many(value: Any) -> Iterable[Any]:
    """``value`` if it is a collection, else a list of this one path, text or number; a text is not a collection."""
    single = isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable)
    return [value] if single else value
