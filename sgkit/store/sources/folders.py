"""Images in a folder, a zip file, named by a list, or given one by one."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sgkit.errors import InputError
from sgkit.runtime.detect import START
from sgkit.runtime.limits import read_file
from sgkit.store.labels.files import LabelFile, decode_text
from sgkit.store.sources.base import Item, Reader, Source
from sgkit.store.sources.listing import file_start, label_files_of, sort_files, walk
from sgkit.store.sources.zips import DAMAGED_ZIP, member_start, open_zip, read_member


class FolderReader:
    """Reads files below a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, item: Item) -> bytes:
        """The bytes of the file."""
        return read_file(Path(self.path, item.locator), kind="image", name=item.name)

    def start(self, item: Item) -> bytes:
        """The first bytes of the file."""
        return file_start(Path(self.path, item.locator))


class FolderSource(Source):
    """All images below a folder, links followed, in sorted order of their paths."""

    kind = "folder"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        files, left = walk(given)
        images, self.unused = sort_files(
            sorted(files), lambda name: file_start(Path(given, name)), directories=sorted(left)
        )
        self.names = sorted(images)

    def label_file(self, columns: Sequence[str] = ()) -> LabelFile | None:
        """The rows of ``dataset.json``, at the root or below."""
        return label_files_of(self.unused, lambda name: read_file(Path(self.given, name), kind="JSON"), self.given)

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
        text, self.notes = decode_text(read_file(given, kind="table"), given)
        lines = (line.strip().strip('"') for line in text.splitlines())
        self.names = [line for line in lines if line and not line.startswith("#")]
        repeated = len(self.names) - len(dict.fromkeys(self.names))
        if repeated:
            self.names = list(dict.fromkeys(self.names))
            self.notes.append(f"{repeated:,} lines of {given} repeat an earlier line; each file is used once.")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        name = self.names[index].replace("\\", "/")
        folder = Path(self.given).parent
        as_written = "\\" not in self.names[index] or (folder / self.names[index]).exists()
        return Item(name, self.names[index] if as_written else name)

    def reader(self) -> Reader:
        """Reads each file by its path."""
        return FolderReader(str(Path(self.given).parent))


class FilesSource(Source):
    """Image files that are given one by one, as a shell writes them for ``*.png``."""

    kind = "files"

    def __init__(self, paths: Sequence[str]) -> None:
        full = [os.path.abspath(path) for path in paths]  # noqa: PTH100  links are kept as they are named
        common = os.path.commonpath([os.path.dirname(path) for path in full])  # noqa: PTH120
        self._files = {os.path.relpath(path, common).replace(os.sep, "/"): path for path in full}
        self.names = list(self._files)
        super().__init__(paths[0] if len(self.names) == 1 else f"{common} ({len(self.names):,} files)")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index], self._files[self.names[index]])

    def reader(self) -> Reader:
        """Reads each file by its path."""
        return FolderReader(".")


class ZipReader:
    """Reads members of a zip file; opened once in each process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_open": None}

    def read(self, item: Item) -> bytes:
        """The bytes of the member."""
        archive = self._archive()
        return read_member(archive, archive.getinfo(item.locator), name=item.name, kind="image")

    def start(self, item: Item) -> bytes:
        """The first bytes of the member."""
        archive = self._archive()
        return member_start(archive, archive.getinfo(item.locator), START)

    def _archive(self) -> zipfile.ZipFile:
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), open_zip(self.path))
        return self._open[1]


class ZipSource(Source):
    """All images in a zip file, in sorted order of their names; of equal names the last counts, as when unpacked."""

    kind = "zip"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        try:
            with open_zip(given) as archive:
                members = {info.filename: _name(info) for info in archive.infolist() if not info.is_dir()}
                taken = Counter(members.values())
                self._members = {name if taken[name] == 1 else raw: raw for raw, name in members.items()}
                images, self.unused = sort_files(sorted(self._members), lambda name: self._start(archive, name))
        except (*DAMAGED_ZIP, OSError) as error:
            raise InputError(f"{given} cannot be opened as a zip file: {error}. Is it complete?") from error
        self.names = sorted(images)

    def _start(self, archive: zipfile.ZipFile, name: str) -> bytes:
        return member_start(archive, archive.getinfo(self._members[name]), START)

    def label_file(self, columns: Sequence[str] = ()) -> LabelFile | None:
        """The rows of ``dataset.json``, at the root or below."""
        return label_files_of(self.unused, self._read_json, self.given)

    def _read_json(self, name: str) -> bytes:
        try:
            with open_zip(self.given) as archive:
                member = archive.getinfo(self._members[name])
                return read_member(archive, member, name=f"{name} in {self.given}", kind="JSON")
        except (*DAMAGED_ZIP, OSError) as error:
            raise InputError(
                f"{name} in {self.given} cannot be read: {error}. Make the archive again, or use --labels none."
            ) from error

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index], self._members[self.names[index]])

    def reader(self) -> Reader:
        """Reads each member by its name."""
        return ZipReader(self.given)


def _name(info: zipfile.ZipInfo) -> str:
    r"""A member's name with forward slashes, which some Windows programs leave out; UTF-8 where it is not declared, as
    macOS writes it.
    """
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")
