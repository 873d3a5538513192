"""Images in a tar file: by place where the file is not compressed, in one stream where it is."""

from __future__ import annotations

import tarfile
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
        offset, length = item.locator
        with Path(self.path).open("rb") as file:
            file.seek(offset)
            return file.read(length)


class TarSource(Source):
    """All images in a tar file, in the archive's order. A compressed one is read as a stream, once for its names."""

    kind = "tar"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.streamed = _is_compressed(given)
        self._members = [(member.name, member.offset_data, member.size) for member in self._walk()]

    def _walk(self) -> Iterator[tarfile.TarInfo]:
        try:
            with tarfile.open(self.given, "r|*" if self.streamed else "r:") as archive:
                yield from (member for member in archive if member.isfile() and is_image_name(member.name))
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputError(f"{self.given} cannot be read as a tar file: {error}. Is it complete?") from error

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> Item:
        name, offset, length = self._members[index]
        return Item(name, (offset, length))

    def stream(self, start: int) -> Iterator[Item]:
        """The members from ``start`` on, with their bytes."""
        try:
            with tarfile.open(self.given, "r|*") as archive:
                members = (member for member in archive if member.isfile() and is_image_name(member.name))
                for number, member in enumerate(members):
                    if number >= start:
                        file = archive.extractfile(member)
                        assert file is not None
                        yield Item(member.name, None, None, file.read())
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputError(
                f"Source {self.given} failed: {error}. What is stored is safe; run the same command again to continue."
            ) from error

    def reader(self) -> Reader:
        """Reads each member by its place."""
        return TarReader(self.given)


def _is_compressed(path: str) -> bool:
    with Path(path).open("rb") as file:
        start = file.read(6)
    return start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"))
