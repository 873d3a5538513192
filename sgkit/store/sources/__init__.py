"""Sources of images: what ``sgkit prepare`` reads."""

from __future__ import annotations

from pathlib import Path

from sgkit.errors import InputError
from sgkit.store.sources.base import IMAGE_SUFFIXES, Item, Label, Reader, Source
from sgkit.store.sources.files import FolderSource, ListSource, ZipSource
from sgkit.store.sources.samples import SampleSource

__all__ = ["Item", "Label", "Reader", "Source", "open_source"]


def open_source(given: str, *, size: tuple[int, int]) -> Source:
    """The source that ``given`` names: a folder, an archive, another store ..., or ``sample:landscapes?count=100``.

    ``size`` (height, width) is what samples are rendered at.

    Raises:
        InputError: there is no such file, its kind is not known, or it holds no images.
    """
    source = _source_of(given, size)
    if len(source) == 0:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{given} holds no images. Files with these endings are looked at: {suffixes}.")
    return source


def _source_of(given: str, size: tuple[int, int]) -> Source:
    if given.startswith("sample:"):
        return SampleSource(given, size=size)
    path = Path(given)
    if not path.exists():
        raise InputError(f"There is no file or folder {given}. Check the path{_nearest_parent(path)}.")
    if path.is_dir():
        return FolderSource(given)
    if path.suffix.lower() == ".zip":
        return ZipSource(given)
    if path.suffix.lower() in (".txt", ".lst"):
        return ListSource(given)
    raise InputError(
        f"{given} is no source of images that sgkit knows. Give a folder, a .zip file, a .txt list of files, "
        "or sample:landscapes?count=1000."
    )


def _nearest_parent(path: Path) -> str:
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    return f"; {parent} exists" if path.parent != parent else ""
