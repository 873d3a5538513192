"""Files and folders that are complete or not there: written to a temporary name, flushed to disk, then renamed.

A temporary name tells which process it belongs to, so that a later process can remove what a killed one left behind.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sgkit.errors import InputError, ResourceError, SgkitError
from sgkit.faults import Fault, explain, is_out_of_memory

MAX_NAME = 255
"""Bytes that file systems allow for a name."""
IDLE = 24 * 3600.0
"""Seconds after which a temporary file is stale that belongs to another machine, or to nobody who can be asked."""
FULL = 1 << 20
"""Free bytes below which a disk counts as full, where a library does not say why it could not write."""

_TEMPORARY = re.compile(r"\.(.*)\.([0-9a-f]{6})-(\d+)-(\d+)-[0-9a-f]{6}\.tmp(\..*)?", re.DOTALL)


def partial(path: Path) -> Path:
    """The folder in which an image that is written to ``path`` tile by tile keeps what is finished."""
    return path.with_name(path.name + ".partial")


def check_new(path: str | Path, *, overwrite: bool = False, resumable: bool = False) -> None:
    """Refuse an output that exists, unless it may be overwritten: the one rule of all commands.

    An empty folder is as good as none. ``resumable``: where an earlier call left something unfinished, it is for the
    code that continues it to decide.

    Raises:
        InputError: there is something at ``path``.
    """
    path = Path(path)
    if overwrite or not (path.exists() or path.is_symlink()) or (resumable and partial(path).is_dir()):
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    raise InputError(
        f"{path} exists already; nothing was changed. Choose another name, or overwrite it with --force "
        "(in Python: overwrite=True)."
    )


@contextmanager
def atomic_path(path: str | Path, *, flushed: bool = True) -> Iterator[Path]:
    """A temporary path beside ``path``, with its suffix, that replaces ``path`` when the block succeeds.

    The block writes a file there. When it raises, the temporary file is removed and an older ``path`` stays as it was.
    Missing parent folders are made.

    Args:
        path: the file to write.
        flushed: wait until it is on disk. ``False``, for one of many: a process that is killed leaves it whole or not
            at all, but for a power cut the caller flushes them together (:func:`flush_files`), which takes less time.

    Raises:
        InputError: ``path`` is a folder, or its parent cannot be one.
        ResourceError: the disk is full, or the operating system refuses.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target} is a folder; give the name of a file to write.")
    with _worded(target):
        temporary = _temporary(target)
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
    try:
        with _worded(target):
            yield temporary
            temporary.chmod(mode)  # as the umask has it: some libraries write through private temporary files
            if flushed:
                flush(temporary)
            temporary.replace(target)
            if flushed:
                flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(
    path: str | Path, *, overwrite: bool = False, own: re.Pattern[str] | None = None
) -> Iterator[Path]:
    """A new, empty folder beside ``path`` that becomes ``path`` when the block succeeds; removed when it raises.

    Args:
        path: the folder to make; an empty one may be there.
        overwrite: replace a folder that holds nothing but files that the new one has too, or whose names match ``own``.
        own: names of files that are known to come from an earlier call.

    Raises:
        InputError: ``path`` exists, or holds files that are not to be lost; or its parent cannot be a folder.
        ResourceError: the disk is full, or the operating system refuses.
    """
    target = Path(path)
    check_new(target, overwrite=overwrite and target.is_dir())
    with _worded(target):
        temporary = _temporary(target)
        temporary.mkdir()
    try:
        with _worded(target):
            yield temporary
            for entry in temporary.rglob("*"):
                flush(entry)
            if target.exists():
                make_way(target, temporary, own)
            temporary.replace(target)
            flush(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def utf8_name(path: str | Path) -> Iterator[str]:
    """A name of ``path`` in UTF-8, for libraries that take no other; in Linux, where names are bytes, by open folder.

    The file's own name must be in UTF-8 unless it exists; those of :func:`atomic_path` always are.
    """
    path = Path(path)
    if _is_utf8(str(path)):
        yield str(path)
        return
    descriptor = os.open(path.parent if _is_utf8(path.name) else path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}{f'/{path.name}' if _is_utf8(path.name) else ''}"
    finally:
        os.close(descriptor)


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def make_way(target: Path, new: Path, own: re.Pattern[str] | None) -> None:
    """Remove ``target`` if nothing is lost by it; Windows does not rename onto a folder, even an empty one."""
    for file in target.rglob("*"):
        name = file.relative_to(target)
        known = own is not None and own.fullmatch(name.as_posix())
        if not file.is_dir() and not known and not is_temporary(file.name) and not (new / name).is_file():
            raise InputError(
                f"{target} was not overwritten: it also holds {name}, which this command does not write. "
                "Remove the folder, or choose another name."
            )
    shutil.rmtree(target)


@contextmanager
def _worded(target: Path) -> Iterator[None]:
    """Faults of the disk, with the name of the file that was meant instead of the temporary one."""
    try:
        yield
    except SgkitError:
        raise
    except Exception as error:
        worded = fault_of_writing(error, target)
        if worded is None:
            raise
        raise worded from error


def fault_of_writing(error: Exception, target: str | Path) -> ResourceError | None:
    """``error``, raised while ``target`` was written, in words; ``None`` if it is not about the disk."""
    target = Path(target)
    if is_out_of_memory(error) or (isinstance(error, OSError) and not _concerns(error, target)):
        return None
    fault = explain(error)
    if _is_full(target):
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    elif fault is None and not isinstance(error, OSError):
        return None
    if isinstance(error, OSError):  # the words without a path: it may be the temporary one; the hint with the final one
        fault = explain(OSError(error.errno, error.strerror))
        named = explain(OSError(error.errno, error.strerror, str(target)))
        fault = Fault(fault.text if fault else str(error), named.hint if named else None)
    assert fault is not None
    shown = Path(*(_final_name(part) for part in target.parts))
    message = f"Cannot write {shown}: {fault.text[0].lower()}{fault.text[1:].rstrip('.')}."
    number = (error.errno or 0) if isinstance(error, OSError) else 0
    return ResourceError(f"{message} {fault.hint}" if fault.hint else message, number=number)


def _final_name(part: str) -> str:
    """The name that a temporary one will become."""
    match = _TEMPORARY.fullmatch(part)
    return f"{match[1]}{match[5] or ''}" if match else part


def _concerns(error: OSError, target: Path) -> bool:
    """Whether a fault is of the temporary file, of the target or a folder above it, or of a file without a name."""
    if error.filename is None:
        return True
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes, os.PathLike)) else Path()
    return any(is_temporary(part) for part in path.parts) or path == target or path in target.parents


def _is_full(target: Path) -> bool:
    for folder in target.absolute().parents:
        with suppress(OSError):
            return shutil.disk_usage(folder).free < FULL
    return False


# ---------------------------------------------------------------------------------------------- temporary names


def is_temporary(name: str) -> bool:
    """Whether ``name`` is one that this module gives to files and folders until they are complete."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_stale(folder: str | Path) -> list[str]:
    """Remove temporary files and folders in ``folder`` whose process is gone; the names of those that were removed.

    On this machine the process is asked for. What other machines wrote is stale after a day without a change.
    """
    removed = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match is None or not _is_stale(Path(entry.path), match[2], int(match[3]), int(match[4])):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108
            removed.append(entry.name)
    return removed


@functools.lru_cache(maxsize=1024)
def _remove_stale_once(folder: Path) -> None:
    """Look into a folder at the first write of this process: many files are written into large folders."""
    remove_stale(folder)


def _temporary(target: Path) -> Path:
    """A temporary name beside ``target``; its parent is made, and cleared of what killed processes left in it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        blocker = next((one for one in target.parents if one.exists() and not one.is_dir()), target.parent)
        raise InputError(f"Cannot write {target}: {blocker} is not a folder.") from None
    _remove_stale_once(target.parent.absolute())
    pid = os.getpid()
    suffix = target.suffix if _is_utf8(target.suffix) else ""
    rest = f".{_machine()}-{pid}-{_own_start(pid)}-{secrets.token_hex(3)}.tmp{suffix}"
    stem = target.stem if _is_utf8(target.stem) else "file"
    while stem and len(os.fsencode(f".{stem}{rest}")) > MAX_NAME:
        stem = stem[:-1]
    return target.with_name(f".{stem}{rest}")


@functools.lru_cache(maxsize=1)
def _machine() -> str:
    """6 hexadecimal digits for this machine and its table of processes, of which every container has its own."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        namespace = ""
    return hashlib.blake2b(f"{platform.node()} {namespace}".encode(), digest_size=3).hexdigest()


def _started(pid: int) -> int:
    """When a process started, in the kernel's ticks: numbers of processes are used again. 0: not known."""
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, ValueError, IndexError):
        return 0


@functools.lru_cache(maxsize=1)
def _own_start(pid: int) -> int:
    """When this process, ``pid``, started."""
    return _started(pid)


def _is_stale(path: Path, machine: str, pid: int, started: int) -> bool:
    if machine == _machine() and os.name == "posix":
        if not _runs(pid) or (started and _started(pid) not in (0, started)):
            return True
        if started:
            return False
    return time.time() - _last_change(path) > IDLE


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


def _last_change(path: Path) -> float:
    newest = time.time()
    with suppress(OSError):
        newest = max(entry.lstat().st_mtime for entry in [path, *(path.iterdir() if path.is_dir() else ())])
    return newest


def flush(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_files(files: Iterable[Path]) -> None:
    """Wait until files that :func:`atomic_path` wrote without waiting, and their names, are on disk.

    Raises:
        ResourceError: the disk is full, or the operating system refuses.
    """
    folders = set()
    for file in files:
        folders.add(file.parent)
        with _worded(file):
            flush(file)
    for folder in folders:
        with _worded(folder):
            flush(folder)
