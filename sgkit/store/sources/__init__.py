"""Sources of images: what ``sgkit prepare`` reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from sgkit.errors import InputError, MissingDependencyError
from sgkit.runtime.detect import detect
from sgkit.runtime.file_kinds import IMAGES
from sgkit.runtime.path_checks import is_url
from sgkit.store.header import HEADER_NAME, PLAN_NAME
from sgkit.store.names import has_image_suffix, is_image_name, skip_reason
from sgkit.store.sources.arrays import CifarSource, MnistSource, cifar_members, mnist_files
from sgkit.store.sources.base import Item, Label, Reader, Source, Unused
from sgkit.store.sources.databases import LmdbSource, StoreSource
from sgkit.store.sources.folders import FilesSource, FolderSource, ListSource
from sgkit.store.sources.listing import described, walk
from sgkit.store.sources.samples import SampleSource
from sgkit.store.sources.tables import TableSource, table_files
from sgkit.store.sources.tars import TarSource
from sgkit.store.sources.videos import VideoSource, is_video
from sgkit.store.sources.zips import ZipSource

__all__ = ["Item", "Label", "Reader", "Source", "Unused", "open_source", "open_sources"]

TABLES = (".csv", ".tsv", ".json", ".jsonl")


def open_sources(given: Sequence[str], *, size: tuple[int, int]) -> tuple[Source, ...]:
    """The sources that ``given`` names; image files among them are one source, at the place of the first.

    Videos beside image files are left out, as in a folder.

    Raises:
        InputError, UsageError: as :func:`open_source` says.
    """
    expanded = dict.fromkeys(name for pattern in given for name in _expanded(pattern))
    files = [name for name in expanded if _is_image_file(name)]
    together = FilesSource(files) if files else None
    opened: list[Source] = []
    for name in expanded:
        if together and name in files:
            opened += [together] if name == files[0] else []
            continue
        if together and is_video(name):  # from photos/*: as in a folder of photos
            together.unused.append(Unused(name, "not an image", "a video (its frames are used if it is given alone)"))
            continue
        try:
            opened.append(open_source(name, size=size))
        except NotASourceError as error:
            if together is None:
                raise
            together.unused.append(Unused(name, skip_reason(name) or "not an image", error.phrase))  # from photos/*
    return tuple(opened)


class NotASourceError(InputError):
    """A file of a kind that holds no images; ``phrase`` says what it is."""

    def __init__(self, given: str, phrase: str) -> None:
        hint = " Labels are given with --labels FILE." if Path(given).suffix.lower() in TABLES else ""
        super().__init__(
            f"{given} is {phrase}, which is not a source of images.{hint} Give a folder, image files, a video, a .zip "
            "or .tar file, a .txt list of files, an LMDB folder, CIFAR-10 or MNIST files, a .parquet file, a store, or "
            "sample:landscapes?count=1000."
        )
        self.phrase = phrase


def open_source(given: str, *, size: tuple[int, int]) -> Source:
    """The source that ``given`` names: a folder, an archive, another store ..., or ``sample:landscapes?count=100``.

    ``size`` (height, width) is what samples are rendered at.

    Raises:
        InputError: the file is missing or of an unknown kind, or holds no images.
        UsageError: samples of another name or with unknown options are asked for.
    """
    source = _source_of(given, size)
    if len(source) == 0:
        raise InputError(
            f"{given} holds no images, but {described(source.unused)}. Files count as images by their extension (.jpg, "
            ".png, ...) or, where that is unknown, by their content."
        )
    return source


def _expanded(given: str) -> list[str]:
    """The paths that a pattern such as ``*.png`` matches, in sorted order; not all shells expand it."""
    if Path(given).exists() or not any(sign in given for sign in "*?[") or given.startswith("sample:"):
        return [given]
    return sorted(glob(given)) or [given]  # noqa: PTH207


def _is_image_file(given: str) -> bool:
    if given.startswith("sample:") or not Path(given).is_file():
        return False
    return has_image_suffix(given.replace("\\", "/")) or detect(given).kind in IMAGES


def _source_of(given: str, size: tuple[int, int]) -> Source:
    if given.startswith("sample:"):
        return SampleSource(given, size=size)
    path = Path(given)
    if not path.exists():
        if is_url(given):
            raise InputError(f"{given} is a web address. Download the file first, then give its path.")
        raise InputError(f"There is no file or folder {given}. Check the path{_nearest_parent(path)}.")
    found = _data_set(given, path)
    if found is not None:
        return found
    if path.is_dir():
        return FolderSource(given)
    if _is_image_file(given):
        return FilesSource([given])
    if is_video(given):
        return VideoSource(given)
    kind = detect(path)
    if path.suffix.lower() == ".zip" or kind.kind in ("zip", "zip of images"):
        return ZipSource(given)
    if kind.kind == "tar" or re.search(r"\.(tar(\.\w+)?|tgz|tbz2?|txz)$", path.name.lower()):
        return TarSource(given)
    if path.suffix.lower() in (".txt", ".lst"):
        return ListSource(given)
    raise NotASourceError(given, kind.phrase)


def _data_set(given: str, path: Path) -> Source | None:
    """The source for a data set in a special format, if it is one."""
    if (path / HEADER_NAME).is_file() or (path / PLAN_NAME).is_file():
        return StoreSource(given)
    database = path / "data.mdb"
    if database.is_file() or path.suffix == ".mdb":
        return LmdbSource(given, database if database.is_file() else path)
    if members := cifar_members(path):
        return _alone(CifarSource(given, members), path, [path / member for member in members])
    if digits := mnist_files(path):
        return _alone(MnistSource(given, *digits), path, [file for file in digits if file])
    if files := table_files(path):
        try:
            return _alone(TableSource(given, files), path, files)
        except (InputError, MissingDependencyError):
            if path.is_dir() and len(FolderSource(given)):  # a table beside images
                return None
            raise
    return None


def _alone(source: Source, path: Path, used: Sequence[Path]) -> Source:
    """The source, which lists what else is in its folder."""
    if path.is_dir():
        known = {file.absolute() for file in used}
        files, left = walk(str(path))
        others = [name for name in files if Path(path, name).absolute() not in known]
        source.unused = [Unused(name, skip_reason(name) or "hidden", "a folder; not searched") for name in left]
        source.unused += [Unused(name, skip_reason(name) or "not used", "") for name in others]
        images = [name for name in others if is_image_name(name)]
        if images:
            source.notes.append(
                f"{len(images):,} image files in {source.given} are not used, as the folder is read as {source.kind} "
                f"data ({used[0].name}). Move them to a separate folder to use them."
            )
    return source


def _nearest_parent(path: Path) -> str:
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    return f"; {parent} exists" if path.parent != parent else ""
