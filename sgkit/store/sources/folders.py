"""Images in a folder, named by a list, or given one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sgkit.runtime.limits import read_file
from sgkit.store.labels.files import decode_text
from sgkit.store.sources.base import Item, Reader, Source
from sgkit.store.sources.listing import file_start, sort_files, walk


class FileReader(Reader):
    """Reads files below a folder."""

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
        super().__init__(given, FileReader(given))
        files, left = walk(given)
        self.names, self.unused = sort_files(files, lambda name: file_start(Path(given, name)), directories=left)
        self.locators = self.names

    def read_json(self, name: str) -> bytes:
        """The content of a ``dataset.json``, at the root or below."""
        return read_file(Path(self.given, name), kind="JSON")


class ListSource(Source):
    """The images that a text file names, one path a line, in its order; paths are relative to the file's folder."""

    kind = "list"

    def __init__(self, given: str) -> None:
        folder = Path(given).parent
        super().__init__(given, FileReader(str(folder)))
        text, self.notes = decode_text(read_file(given, kind="table"), given)
        lines = (line.strip().strip('"') for line in text.splitlines())
        paths = [line for line in lines if line and not line.startswith("#")]
        different = list(dict.fromkeys(paths))
        if repeated := len(paths) - len(different):
            self.notes.append(f"{repeated:,} lines of {given} repeat an earlier line; each file is used once.")
        self.names = [path.replace("\\", "/") for path in different]
        self.locators = [
            path if "\\" not in path or (folder / path).exists() else name
            for path, name in zip(different, self.names, strict=True)
        ]


class FilesSource(Source):
    """Image files that are given one by one, as a shell expands ``*.png``."""

    kind = "files"

    def __init__(self, paths: Sequence[str]) -> None:
        full = [os.path.abspath(path) for path in paths]  # noqa: PTH100  links are kept as they are named
        common = os.path.commonpath([os.path.dirname(path) for path in full])  # noqa: PTH120
        files = {os.path.relpath(path, common).replace(os.sep, "/"): path for path in full}
        super().__init__(paths[0] if len(files) == 1 else f"{common} ({len(files):,} files)", FileReader("."))
        self.names, self.locators = list(files), list(files.values())
