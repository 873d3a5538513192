"""Images in a folder, a zip file, or named by a list."""

from __future__ import annotations

import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from sgkit.errors import InputError
from sgkit.store.header import LabelSchema
from sgkit.store.sources.base import Item, Label, Reader, Source, is_image_name

__all__ = ["FolderReader", "FolderSource", "ListSource", "ZipReader", "ZipSource", "read_dataset_json"]


DATASET_JSON = "dataset.json"


class FolderReader:
    """Reads files below a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, item: Item) -> bytes:
        """The bytes of the file."""
        path = Path(self.path, item.locator)
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without end
            raise OSError("a folder, device or pipe, not a file")
        return path.read_bytes()


class FolderSource(Source):
    """All images below a folder, links followed, in sorted order of their paths."""

    kind = "folder"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.names = sorted(name for name in _walk(given) if is_image_name(name))
        file = Path(given, DATASET_JSON)
        self.labels, self._own = read_dataset_json(file.read_bytes(), str(file)) if file.is_file() else _UNLABELLED

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index], self.names[index], self._own.get(self.names[index]))

    def reader(self) -> Reader:
        """Reads each file by its path."""
        return FolderReader(self.given)


class ListSource(Source):
    """The images that a text file names, one path a line, in its order; paths are relative to the file's folder."""

    kind = "list"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        lines = Path(given).read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
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
    """All images in a zip file, in sorted order of their names; of equal names the last counts, as when unpacked."""

    kind = "zip"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        try:
            with zipfile.ZipFile(given) as archive:
                members = archive.namelist()
                described = archive.read(DATASET_JSON) if DATASET_JSON in members else None
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{given} cannot be opened as a zip file: {error}. Is it complete?") from error
        self.names = sorted({name for name in members if is_image_name(name)})
        where = f"{DATASET_JSON} in {given}"
        self.labels, self._own = read_dataset_json(described, where) if described else _UNLABELLED

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index], self.names[index], self._own.get(self.names[index]))

    def reader(self) -> Reader:
        """Reads each member by its name."""
        return ZipReader(self.given)


def read_dataset_json(data: bytes, where: str) -> tuple[LabelSchema, dict[str, Label]]:
    """Labels by file name from the ``dataset.json`` of NVIDIA's tools: class numbers, or vectors of floats.

    Raises:
        InputError: it is not such a file.
    """
    try:
        pairs = json.loads(data).get("labels") or []
        own: dict[str, Label] = {name: _label(value) for name, value in pairs}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{where} is not a label file of NVIDIA's kind: {error}") from error
    if not own:
        return _UNLABELLED
    sample = next(iter(own.values()))
    if isinstance(sample, int) and all(isinstance(label, int) and label >= 0 for label in own.values()):
        count = max(label for label in own.values() if isinstance(label, int)) + 1
        return LabelSchema(kind="class", names=tuple(map(str, range(count)))), own
    if isinstance(sample, tuple) and all(isinstance(v, tuple) and len(v) == len(sample) for v in own.values()):
        return LabelSchema(kind="float", names=tuple(map(str, range(len(sample))))), own
    raise InputError(f"{where} mixes labels of different kinds or lengths.")


def _label(value: object) -> Label:
    return tuple(float(v) for v in value) if isinstance(value, list) else int(value)  # type: ignore[call-overload]


_UNLABELLED: tuple[LabelSchema, dict[str, Label]] = (LabelSchema(), {})


def _walk(root: str) -> Iterator[str]:
    """Paths of all files below ``root``, relative, with forward slashes; each folder is entered once."""
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # Sorted: a folder that links lead to, too, is found under the same path everywhere.
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in files:
            yield name if below == "." else f"{below}/{name}"


def _refuse(error: OSError) -> None:
    raise InputError(
        f"Folder {error.filename} cannot be listed: {error.strerror}. Make it readable, or move it away."
    ) from error
