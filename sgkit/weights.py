"""Weights of third-party networks: what they are, where they come from, under which licence, and where they are kept.

Nothing is downloaded before it is needed. A file is used only if its sha256 is right: it is hashed when it arrives, and
on first use in every process. The network that needs it loads it (tensors only, never code).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock

from sgkit.errors import InputError, UsageError, WeightsError, did_you_mean
from sgkit.runtime.files import atomic_path
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

CACHE_VARIABLE = "SGKIT_CACHE"
"""Environment variable that moves the cache folder."""
CHUNK = 1 << 18
ATTEMPTS = 4
PASSING_STATUS = (408, 429, 500, 502, 503, 504)
"""HTTP status codes after which the download is tried again."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One file of weights that somebody else published."""

    name: str
    summary: str
    url: str
    sha256: str
    """Of the file, all 64 digits."""
    licence: str
    homepage: str
    used_by: tuple[str, ...]
    """Names of the metrics, or of other things, that need it."""

    @property
    def file_name(self) -> str:
        """Name of the file in the cache, the publisher's own."""
        return self.url.rpartition("/")[2]


WEIGHTS: dict[str, Weights] = {
    entry.name: entry
    for entry in (
        Weights(
            name="inception-2015-12-05",
            summary="Inception-v3 of FID and KID, TensorFlow's graph of 2015-12-05 ported to torch by pytorch-fid",
            url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            # Its publisher gives the first eight digits, in the name; the rest is what projects that use it pin.
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            licence="Apache-2.0",
            homepage="https://github.com/mseitzer/pytorch-fid",
            used_by=("fid", "kid"),
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class WeightsStatus:
    """State of one entry of :data:`WEIGHTS` in the cache."""

    weights: Weights
    path: Path
    """Where the file is, or would be."""
    state: Literal["missing", "good", "damaged"]
    size: int | None = None
    sha256: str | None = None
    """Of the file in the cache."""


def cache_folder(*parts: str) -> Path:
    r"""The cache folder of sgkit, or a folder in it; it is not created.

    ``$SGKIT_CACHE`` where set; else the platform's place: ``$XDG_CACHE_HOME/sgkit`` or ``~/.cache/sgkit`` on Linux,
    ``~/Library/Caches/sgkit`` on macOS, ``%LOCALAPPDATA%\sgkit\Cache`` on Windows.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        base = Path(given).expanduser()
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "sgkit" / "Cache"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches" / "sgkit"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sgkit"
    return base.joinpath(*parts)


def weights_named(name: str) -> Weights:
    """The entry called ``name``.

    Raises:
        UsageError: there is none; the nearest name is given.
    """
    if name not in WEIGHTS:
        raise UsageError(f"Unknown weights {name!r}. {did_you_mean(name, WEIGHTS)}")
    return WEIGHTS[name]


def weights_path(name: str) -> Path:
    """Path of the file of ``name`` in the cache, there or not: ``<cache>/weights/<file>``."""
    return cache_folder("weights", weights_named(name).file_name)


def weights_status(name: str) -> WeightsStatus:
    """Whether the file of ``name`` is in the cache and intact; reads all of it."""
    weights, path = weights_named(name), weights_path(name)
    if not path.is_file():
        return WeightsStatus(weights=weights, path=path, state="missing")
    found = _sha256_of(path)
    state: Literal["good", "damaged"] = "good" if found == weights.sha256 else "damaged"
    return WeightsStatus(weights=weights, path=path, state=state, size=path.stat().st_size, sha256=found)


def fetch_weights(name: str, *, on_progress: OnProgress = ignore_progress) -> Path:
    """The file of ``name`` in the cache, downloaded first when it is not there, and checked in either case.

    Raises:
        UsageError: the name is unknown.
        WeightsError: the file cannot be downloaded, or is not the expected one.
    """
    weights, path = weights_named(name), weights_path(name)
    if path.is_file():
        check_file(path, weights.sha256, advice=f"Remove it, then run 'sgkit weights get {name}' to download it again.")
        return path
    try:
        return download(weights.url, path, sha256=weights.sha256, on_progress=on_progress)
    except WeightsError as error:
        raise WeightsError(
            f"{error} Without a connection: get {weights.url} on another machine, then import it here with "
            f"'sgkit weights get {name} --file FILE'."
        ) from error


def import_weights(name: str, file: str | Path) -> Path:
    """Copy ``file``, downloaded by hand, into the cache as ``name``; its path there.

    Raises:
        UsageError: the name is unknown.
        InputError: ``file`` is not there.
        WeightsError: it is another file.
    """
    weights, path, given = weights_named(name), weights_path(name), Path(file)
    if not given.is_file():
        raise InputError(f"{given} is not a file. Give the downloaded {weights.file_name}.")
    found = _sha256_of(given)
    if found != weights.sha256:
        raise WeightsError(f"{given} is not {weights.file_name}: its sha256 is {found}, expected {weights.sha256}.")
    with atomic_path(path) as temporary:
        shutil.copyfile(given, temporary)
    return path


def download(
    url: str,
    path: Path,
    *,
    sha256: str,
    on_progress: OnProgress = ignore_progress,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """``path``, downloaded from ``url`` and checked against ``sha256``.

    What has arrived is kept in ``<path>.part``; a broken connection is resumed from there, a few times automatically
    and again at the next call. Processes that need the same file wait for the first one. Proxies are taken from the
    environment (``HTTPS_PROXY`` and so on). ``timeout`` and ``pause`` (before the second try) are seconds.

    Raises:
        WeightsError: no connection, an error answer, a connection that keeps breaking, or another file than expected.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{part}.lock"):
            if path.is_file():
                return path
            _receive_all(url, part, on_progress, timeout=timeout, pause=pause)
            found = _sha256_of(part)
            if found != sha256:
                part.unlink()
                raise WeightsError(
                    f"What {url} sent is not the expected file: its sha256 is {found}, expected {sha256}. It was "
                    "removed. A proxy may have sent an error page, or the file was replaced at its source."
                )
            part.replace(path)
    except PermissionError as error:
        raise WeightsError(
            f"Cannot write to {path.parent} ({error.strerror}). Set {CACHE_VARIABLE} to a folder that you can write to."
        ) from error
    return path


def _receive_all(url: str, part: Path, on_progress: OnProgress, *, timeout: float, pause: float) -> None:
    """Fill ``part``; broken connections are resumed up to :data:`ATTEMPTS` times."""
    host = urllib.parse.urlsplit(url).hostname
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
        have = have if is_rest else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        with part.open("ab" if is_rest else "wb") as file:
            while chunk := answer.read(CHUNK):
                have += file.write(chunk)
                on_progress(Progress(done=have, total=total, unit="bytes", stage="downloading"))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"the connection broke after {have} of {total} bytes")


_hashes: dict[Path, tuple[tuple[int, ...], str]] = {}
"""Files that this process has hashed: path -> (size, time and inode, hash)."""


def check_file(path: Path, sha256: str, *, advice: str) -> None:
    """Compare a file with its hash: by reading it on first use in a process, by size and time stamp after that.

    Raises:
        WeightsError: it is another file; the message ends in ``advice``.
    """
    facts = path.stat()
    state = (facts.st_size, facts.st_mtime_ns, facts.st_ino)
    known = _hashes.get(path)
    found = known[1] if known is not None and known[0] == state else _sha256_of(path)
    if found != sha256:
        raise WeightsError(
            f"{path} is not the expected file: its sha256 is {found}, expected {sha256}. It is damaged, or was "
            f"replaced, and was not used. {advice}"
        )
    _hashes[path] = (state, found)


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
