"""Sources of images: what ``sgkit prepare`` reads."""

from __future__ import annotations

import re
from pathlib import Path

from sgkit.errors import InputError
from sgkit.store.header import HEADER_NAME, PLAN_NAME
from sgkit.store.sources.archives import TarSource
from sgkit.store.sources.arrays import CifarSource, MnistSource, cifar_members, mnist_files
from sgkit.store.sources.base import IMAGE_SUFFIXES, Item, Label, Reader, Source
from sgkit.store.sources.databases import StoreSource, lmdb_source
from sgkit.store.sources.files import FolderSource, ListSource, ZipSource
from sgkit.store.sources.samples import SampleSource
from sgkit.store.sources.tables import TableSource, table_files

__all__ = ["Item", "Label", "Reader", "Source", "open_source"]


def open_source(given: str, *, size: tuple[int, int]) -> Source:
    """The source that ``given`` names: a folder, an archive, another store ..., or ``sample:landscapes?count=100``.

    ``size`` (height, width) is what samples are rendered at.

    Raises:
        InputError: there is no such file, its kind is not known, or it holds no images.
        UsageError: samples of another name or with unknown options are asked for.
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
    found = _data_set(given, path)
    if found is not None:
        return found
    if path.is_dir():
        return FolderSource(given)
    if path.suffix.lower() == ".zip":
        return ZipSource(given)
    if re.search(r"\.(tar(\.\w+)?|tgz|tbz2|txz)$", path.name.lower()):
        return TarSource(given)
    if path.suffix.lower() in (".txt", ".lst"):
        return ListSource(given)
    raise InputError(
        f"{given} is no source of images that sgkit knows. Give a folder, a .zip or .tar file, a .txt list of files, "
        "an LMDB folder, CIFAR-10 or MNIST files, a .parquet file, a store, or sample:landscapes?count=1000."
    )


def _data_set(given: str, path: Path) -> Source | None:
    """The source for a data set in a format of its own, if it is one."""
    if (path / HEADER_NAME).is_file() or (path / PLAN_NAME).is_file():
        return StoreSource(given)
    if (path / "data.mdb").is_file():
        return lmdb_source(given, path / "data.mdb")
    if path.suffix == ".mdb":
        return lmdb_source(given, path)
    if members := cifar_members(path):
        return CifarSource(given, members)
    if digits := mnist_files(path):
        return MnistSource(given, *digits)
    if files := table_files(path):
        return TableSource(given, files)
    return None


def _nearest_parent(path: Path) -> str:
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    return f"; {parent} exists" if path.parent != parent else ""
