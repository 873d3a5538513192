"""Which files of a folder or archive are images: by name, and by their first bytes where the name does not say."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sgkit.errors import InputError
from sgkit.runtime.detect import START, detect_bytes
from sgkit.runtime.file_kinds import IMAGES, PHRASES
from sgkit.runtime.limits import open_regular
from sgkit.store.labels.files import DATASET_JSON
from sgkit.store.names import has_image_suffix, skip_reason
from sgkit.store.sources.base import Unused

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")


def sort_files(
    names: Iterable[str], start_of: Callable[[str], bytes], *, directories: Iterable[str] = ()
) -> tuple[list[str], list[Unused]]:
    """(images, everything else) of a source's files; ``start_of`` gives the first bytes of a file.

    ``directories`` are folders that are not entered.
    """
    images: list[str] = []
    unused = [Unused(name, skip_reason(name) or "hidden", "a folder; not searched") for name in directories]
    for name in names:
        reason, detail = skip_reason(name), ""
        if not reason and name.rsplit("/", 1)[-1] == DATASET_JSON:
            reason = "label file"
        elif not reason and not has_image_suffix(name):
            reason, detail = _by_content(name, start_of)
        if reason:
            unused.append(Unused(name, reason, detail))
        else:
            images.append(name)
    return images, unused


def _by_content(name: str, start_of: Callable[[str], bytes]) -> tuple[str, str]:
    try:
        kind = detect_bytes(start_of(name))
    except OSError as error:
        return "unreadable", error.strerror or str(error)
    return ("", "") if kind in IMAGES else ("not an image", PHRASES[kind])


def file_start(path: Path) -> bytes:
    """The first bytes of a regular file."""
    with open_regular(path) as file:
        return file.read(START)


def walk(root: str) -> tuple[list[str], list[str]]:
    """(files, folders that were not entered) below ``root``, sorted: relative paths with forward slashes.

    Links are followed, but each folder is entered once; hidden folders and those of the operating system are not.
    """
    files: list[str] = []
    left: list[str] = []
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        left += (f"{prefix}{name}/" for name in subfolders if skip_reason(name))
        # Sorted: a folder that links also lead to is found under the same path everywhere.
        subfolders[:] = sorted(name for name in subfolders if not skip_reason(name))
        files += (prefix + name for name in names)
    return sorted(files), sorted(left)


def _refuse(error: OSError) -> None:
    raise InputError(
        f"Folder {error.filename} cannot be listed: {error.strerror}. Make it readable, or move it away."
    ) from error


def described(unused: Iterable[Unused]) -> str:
    """What a source without images holds, in words: ``3 files: 2 a text file, 1 hidden``."""
    counts = Counter(found.detail or found.reason for found in unused)
    shown = ", ".join(f"{count:,} {what}" for what, count in counts.most_common(5))
    return f"{sum(counts.values()):,} other files ({shown})" if counts else "no files at all"


def tables_among(unused: Iterable[Unused]) -> Iterator[str]:
    """Names of files that may be tables of labels."""
    return (file.name for file in unused if file.reason == "not an image" and Path(file.name).suffix.lower() in TABLES)
