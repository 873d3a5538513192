"""Images in a tar file: by place where the file is not compressed, in one stream where it is."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from sgkit.errors import InputError
from sgkit.store.sources.base import Item, Reader, Source, is_image_name

__all__ = ["TarReader", "TarSource"]


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
        try:
            with self._open() as archive:
                last = {member.name: (place, member) for place, member in enumerate(_images(archive))}
        except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{given} cannot be read as a tar file: {error}. Is it complete?") from error
        chosen = sorted(last.values(), key=lambda found: found[0])
        self._numbers = {place: number for number, (place, _) in enumerate(chosen)}
        self._members = [(m.name, (m.offset_data, m.size) if m.isfile() else None) for _, m in chosen]

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
                for place, member in enumerate(_images(archive)):
                    if self._numbers.get(place, -1) >= start:
                        file = archive.extractfile(member) if member.isfile() else None
                        yield Item(member.name, None, None, None if file is None else file.read())
        except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise InputError(
                f"Source {self.given} failed: {error}. What is stored is safe; run the same command again to continue."
            ) from error

    def reader(self) -> Reader:
        """Reads each member by its place."""
        return TarReader(self.given)


def _images(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    return (member for member in archive if not member.isdir() and is_image_name(member.name))


def _is_compressed(path: str) -> bool:
    with Path(path).open("rb") as file:
        start = file.read(6)
    return start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"))
