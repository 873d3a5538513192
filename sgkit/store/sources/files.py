"""Images in a folder, a zip file, or named by a list."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from sgkit.errors import InputError
from sgkit.store.sources.base import Item, Reader, Source, is_image_name

__all__ = ["FolderReader", "FolderSource", "ListSource", "ZipReader", "ZipSource"]


class FolderReader:
    """Reads files below a folder."""

    def __init__(self, root: str) -> None:
        self.root = root

    def read(self, item: Item) -> bytes:
        """The bytes of the file."""
        return Path(self.root, item.locator).read_bytes()


class FolderSource(Source):
    """All images below a folder, links followed, in sorted order of their paths."""

    kind = "folder"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.names = sorted(name for name in _walk(given) if is_image_name(name))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index], self.names[index])

    def reader(self) -> Reader:
        """Reads each file by its path."""
        return FolderReader(self.given)


class ListSource(Source):
    """The images that a text file names, one path a line, in its order; paths are relative to the file's folder."""

    kind = "list"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        lines = Path(given).read_text(encoding="utf-8").splitlines()
        self.names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index].replace(os.sep, "/"), self.names[index])

    def reader(self) -> Reader:
        """Reads each file by its path."""
        return FolderReader(str(Path(self.given).parent))


class ZipReader:
    """Reads members of a zip file; opened once in each process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_open": None}

    def read(self, item: Item) -> bytes:
        """The bytes of the member."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), zipfile.ZipFile(self.path))
        try:
            return self._open[1].read(item.locator)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
            raise OSError(f"{type(error).__name__}: {error}") from error


class ZipSource(Source):
    """All images in a zip file, in sorted order of their names."""

    kind = "zip"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        try:
            with zipfile.ZipFile(given) as archive:
                self.names = sorted(name for name in archive.namelist() if is_image_name(name))
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{given} cannot be opened as a zip file: {error}. Is it complete?") from error

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index], self.names[index])

    def reader(self) -> Reader:
        """Reads each member by its name."""
        return ZipReader(self.given)


def _walk(root: str) -> Iterator[str]:
    """Paths of all files below ``root``, relative, with forward slashes; each folder is entered once."""
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in files:
            yield name if below == "." else f"{below}/{name}"


def _refuse(error: OSError) -> None:
    raise InputError(f"Folder {error.filename} cannot be listed: {error.strerror}.") from error
