"""Files and folders that are whole or not there: written aside, flushed to disk, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgkit.errors import InputError

__all__ = ["atomic_directory", "atomic_path"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path``, with its suffix, that replaces ``path`` when the block ends well.

    The block writes a file there. When it raises, the temporary file is removed and an older ``path`` stays as it was.
    Missing parent folders are made.

    Raises:
        InputError: ``path`` is a folder, or its parent cannot be one.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target} is a folder; give the name of a file to write.")
    aside = _aside(target)
    aside.touch()
    mode = aside.stat().st_mode
    aside.unlink()
    try:
        yield aside
        aside.chmod(mode)  # as the umask has it: some libraries write through private temporary files
        _flush(aside)
        aside.replace(target)
        _flush(target.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """A new, empty folder beside ``path`` that becomes ``path`` when the block ends well; removed when it raises.

    Raises:
        InputError: ``path`` exists already (an empty folder is fine), or its parent cannot be a folder.
    """
    target = Path(path)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target} exists already. Remove it or choose another name.")
    aside = _aside(target)
    aside.mkdir()
    try:
        yield aside
        for entry in aside.rglob("*"):
            _flush(entry)
        if target.exists():
            target.rmdir()  # Windows does not rename onto a folder, even an empty one
        aside.replace(target)
        _flush(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _aside(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"Cannot write {target}: {target.parent} is not a folder.") from None
    return target.with_name(f".{target.stem}.{secrets.token_hex(4)}.tmp{target.suffix}")


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
