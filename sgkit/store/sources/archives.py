"""Images in a tar file: by place where the file is not compressed, in one stream where it is."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from sgkit.errors import InputError
from sgkit.runtime.limits import read_stream
from sgkit.runtime.sniff import START
from sgkit.store.label_files import LabelFile
from sgkit.store.names import has_image_suffix
from sgkit.store.sources.base import Item, Reader, Source
from sgkit.store.sources.listing import DATASET_JSON, label_files_of, sort_files

__all__ = ["TarReader", "TarSource"]

_TAR_ERRORS = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)


class TarReader:
    """Reads members of an uncompressed tar file by their place."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, item: Item) -> bytes:
        """The bytes of the member; fewer than its header promises when the archive ends early."""
        if item.locator is None:
            raise OSError("a link, device or pipe; of an archive, only files are read")
        offset, length = item.locator
        with Path(self.path).open("rb") as file:
            file.seek(offset)
            return file.read(length)


class TarSource(Source):
    """All images in a tar file, in the archive's order. A compressed one is read as a stream, once for its names.

    Of members with the same name the last counts, as when they are unpacked. Links are named, but not followed.
    """

    kind = "tar"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.streamed = _is_compressed(given)
        self._json: dict[str, bytes] = {}
        try:
            with self._open() as archive:
                self._list(archive)
        except _TAR_ERRORS as error:
            raise InputError(f"{given} cannot be read as a tar file: {error}. Is it complete?") from error

    def _list(self, archive: tarfile.TarFile) -> None:
        """Find the images: of members with the same name the last one, in the archive's order."""
        last: dict[str, tuple[int, tarfile.TarInfo, bytes]] = {}
        for place, member in enumerate(_files(archive)):
            start = b""
            if member.isfile() and not has_image_suffix(member.name):
                start = self._look(archive, member)
            last[member.name] = (place, member, start)
        images, self.unused = sort_files(last, lambda name: _start_of(*last[name][1:]))
        chosen = sorted((last[name][:2] for name in images), key=lambda found: found[0])
        self._numbers = {place: number for number, (place, _) in enumerate(chosen)}
        self._members = [(m.name, (m.offset_data, m.size) if m.isfile() else None) for _, m in chosen]

    def _look(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        """The first bytes of a member without an image's name; a file of labels is kept, as a stream passes once."""
        file = archive.extractfile(member)
        if file is None:
            return b""
        if member.name.rsplit("/", 1)[-1] != DATASET_JSON:
            return file.read(START)
        name = f"{member.name} in {self.given}"
        self._json[member.name] = read_stream(file, name=name, kind="JSON", declared=member.size)
        return b""

    def label_file(self) -> LabelFile | None:
        """The rows of ``dataset.json``, at the root or below."""
        return label_files_of(self.unused, lambda name: self._json[name], self.given)

    def _open(self) -> tarfile.TarFile:
        return tarfile.open(self.given, "r|*" if self.streamed else "r:")

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> Item:
        return Item(*self._members[index])

    def stream(self, start: int) -> Iterator[Item]:
        """The members from ``start`` on, with their bytes."""
        try:
            with self._open() as archive:
                for place, member in enumerate(_files(archive)):
                    if self._numbers.get(place, -1) >= start:
                        file = archive.extractfile(member) if member.isfile() else None
                        yield Item(member.name, None, None, None if file is None else file.read())
        except _TAR_ERRORS as error:
            raise InputError(
                f"Source {self.given} failed: {error}. What is stored is safe; run the same command again to continue."
            ) from error

    def reader(self) -> Reader:
        """Reads each member by its place."""
        return TarReader(self.given)


def _files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    return (member for member in archive if not member.isdir())


def _start_of(member: tarfile.TarInfo, start: bytes) -> bytes:
    if not member.isfile():
        raise OSError("a link, device or pipe; of an archive, only files are read")
    return start


def _is_compressed(path: str) -> bool:
    with Path(path).open("rb") as file:
        start = file.read(6)
    return start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"))
