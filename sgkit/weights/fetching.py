"""Downloads that are resumed, checked and never half there."""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from sgkit.errors import ResourceError, WeightsError
from sgkit.runtime.files import sha256_of
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

CACHE_VARIABLE = "SGKIT_CACHE"
"""Environment variable that moves the cache folder."""
CHUNK = 1 << 18
ATTEMPTS = 4
PASSING_STATUS = (408, 429, 500, 502, 503, 504)
"""HTTP status codes after which the download is tried again."""
FULL = (errno.ENOSPC, errno.EDQUOT)


def download(
    urls: str | Sequence[str],
    path: Path,
    *,
    sha256: str,
    on_progress: OnProgress = ignore_progress,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """``path``, downloaded from the first of ``urls`` that has it, and checked against ``sha256``.

    What has arrived is kept in ``<path>.part``; a broken connection is resumed from there, a few times automatically
    and again at the next call, from any of the URLs. A resumed file that turns out to be wrong is downloaded once more
    from its start. Processes that need the same file wait for the first one. Proxies are taken from the environment
    (``HTTPS_PROXY`` and so on). ``timeout`` and ``pause`` (before the second try) are seconds.

    Raises:
        WeightsError: no connection, an error answer, a connection that keeps breaking, or another file than expected;
            of several URLs, the faults of all.
        ResourceError: the disk is full; nothing is left of the file.
    """
    part, faults = path.with_name(path.name + ".part"), []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{part}.lock"):
            if path.is_file():
                return path
            for url in [urls] if isinstance(urls, str) else urls:
                try:
                    _receive_checked(url, part, sha256, on_progress, timeout=timeout, pause=pause)
                    part.replace(path)
                    return path
                except WeightsError as error:
                    faults.append(error)
    except PermissionError as error:
        raise WeightsError(
            f"Cannot write to {path.parent} ({error.strerror}). Set {CACHE_VARIABLE} to a folder that you can write to."
        ) from error
    raise WeightsError(" ".join(str(fault) for fault in faults)) from faults[-1]


def _receive_checked(
    url: str, part: Path, sha256: str, on_progress: OnProgress, *, timeout: float, pause: float
) -> None:
    """Fill ``part`` with the right file; what is wrong is removed."""
    resumed = part.is_file()
    _receive_all(url, part, on_progress, timeout=timeout, pause=pause)
    found = sha256_of(part)
    if found != sha256 and resumed:  # its beginning may be of another file
        part.unlink()
        _receive_all(url, part, on_progress, timeout=timeout, pause=pause)
        found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise WeightsError(
            f"What {url} sent is not the expected file: its sha256 is {found}, expected {sha256}. It was "
            "removed. A proxy may have sent an error page, or the file was replaced at its source."
        )


def _receive_all(url: str, part: Path, on_progress: OnProgress, *, timeout: float, pause: float) -> None:
    """Fill ``part``; broken connections are resumed up to :data:`ATTEMPTS` times."""
    host = urllib.parse.urlsplit(url).hostname or url
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            return _receive(url, part, on_progress, timeout)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and part.is_file():  # nothing left to send: whole already, or not of this file
                return None
            trouble = f"{host} answered {error.code} {error.reason} to {url}."
            if error.code not in PASSING_STATUS:
                raise WeightsError(trouble) from error
        except (PermissionError, ResourceError):
            raise
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            trouble = f"Could not get {url}: {reason}. Check the connection to {host} and HTTPS_PROXY, then run again"
            trouble += f"; {part.stat().st_size} bytes are kept." if part.is_file() else "."
    raise WeightsError(trouble)


def _receive(url: str, part: Path, on_progress: OnProgress, timeout: float) -> None:
    """One connection: the missing rest of ``part`` if the server can send only that, otherwise everything."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "sgkit"} | ({"Range": f"bytes={have}-"} if have else {})
    opener = urllib.request.build_opener()  # a new one: urlopen would keep the proxies of its first call
    with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        is_rest = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        kept, have = (have, have) if is_rest else (have, 0)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        _check_space(part, 0 if total is None else total - kept)
        with part.open("ab" if is_rest else "wb") as file:
            while chunk := answer.read(CHUNK):
                have += len(chunk)
                _write(file, chunk, part)
                on_progress(Progress(done=have, total=total, unit="bytes", stage="downloading"))
            _write(file, b"", part)
    if total is not None and have < total:
        raise ConnectionError(f"the connection broke after {have} of {total} bytes")


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise ResourceError(
            f"{part.parent} has {free / 1e6:.0f} MB free; the download needs {needed / 1e6:.0f} MB. Free some space, "
            f"or set {CACHE_VARIABLE} to a folder on another disk.",
            number=errno.ENOSPC,
        )


def _write(file: BinaryIO, chunk: bytes, part: Path) -> None:
    """Append ``chunk``, or flush for good where it is empty; a full disk gets back what was written."""
    try:
        file.write(chunk)
        file.flush()
        if not chunk:
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in FULL:
            raise
        part.unlink(missing_ok=True)
        raise ResourceError(
            f"The disk of {part.parent} is full; the unfinished download was removed. Free some space, or set "
            f"{CACHE_VARIABLE} to a folder on another disk.",
            number=error.errno,
        ) from error
