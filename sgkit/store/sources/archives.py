"""Images in a tar file: by place where the file is not compressed, in one stream where it is."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence

from sgkit.errors import InputError
from sgkit.runtime.detect import START
from sgkit.runtime.limits import check_size, limit_of, open_regular, read_stream
from sgkit.store.labels.files import LabelFile
from sgkit.store.names import has_image_suffix
from sgkit.store.sources.base import Item, Reader, Source
from sgkit.store.sources.listing import DATASET_JSON, label_files_of, sort_files
from sgkit.store.sources.tars import DAMAGED_ARCHIVE, members, open_tar

_NOT_A_FILE = "a link, device, pipe or sparse file; of an archive, only plain files are read"
Place = tuple[int, int] | None
"""Where a member's bytes begin in an uncompressed archive, and their number; ``None`` for what is not a file."""


class TarReader:
    """Reads members of an uncompressed tar file by their place."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, item: Item) -> bytes:
        """The bytes of the member; fewer than its header promises when the archive ends early."""
        if item.locator is None:
            raise OSError(_NOT_A_FILE)
        offset, length = item.locator
        check_size(length, name=item.name, kind="image")
        with open_regular(self.path) as file:
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
            with open_tar(given) as archive:
                self._list(archive)
        except DAMAGED_ARCHIVE as error:
            raise InputError(f"{given} cannot be read as a tar file: {error}. Is it complete?") from error

    def _list(self, archive: tarfile.TarFile) -> None:
        """Find the images: of members with the same name the last one, in the archive's order."""
        last: dict[str, tuple[int, Place, bytes]] = {}
        for number, member in enumerate(members(archive)):
            place = _place(member)
            start = b"" if place is None or has_image_suffix(member.name) else self._look(archive, member)
            last[member.name] = (number, place, start)
        images, self.unused = sort_files(last, lambda name: _start_of(*last[name][1:]))
        chosen = sorted((last[name][0], name) for name in images)
        self._numbers = {place: number for number, (place, _) in enumerate(chosen)}
        self._members = [(name, last[name][1]) for _, name in chosen]

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

    def label_file(self, columns: Sequence[str] = ()) -> LabelFile | None:
        """The rows of ``dataset.json``, at the root or below."""
        return label_files_of(self.unused, lambda name: self._json[name], self.given)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> Item:
        return Item(*self._members[index])

    def stream(self, start: int) -> Iterator[Item]:
        """The members from ``start`` on, with their bytes."""
        try:
            with open_tar(self.given) as archive:
                for number, member in enumerate(members(archive)):
                    if self._numbers.get(number, -1) >= start:
                        yield _item(archive, member)
        except DAMAGED_ARCHIVE as error:
            raise InputError(
                f"Source {self.given} failed: {error}. What is stored is safe; run the same command again to continue."
            ) from error

    def reader(self) -> Reader:
        """Reads each member by its place."""
        return TarReader(self.given)


def _place(member: tarfile.TarInfo) -> Place:
    return (member.offset_data, member.size) if member.isfile() and not member.issparse() else None


def _item(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Item:
    """A member with its bytes; without them where the reader refuses it."""
    place = _place(member)
    file = archive.extractfile(member) if place and 0 <= member.size <= limit_of("image") else None
    payload = None if file is None else read_stream(file, name=member.name, kind="image")
    return Item(member.name, place, None, payload)


def _start_of(place: Place, start: bytes) -> bytes:
    if place is None:
        raise OSError(_NOT_A_FILE)
    return start


def _is_compressed(path: str) -> bool:
    with open_regular(path) as file:
        start = file.read(6)
    return start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"))
