"""Where weights are kept, and whether they are the right ones."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sgkit.errors import InputError, UsageError, WeightsError, did_you_mean
from sgkit.runtime.files import atomic_path, sha256_of
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.weights.fetching import CACHE_VARIABLE, download
from sgkit.weights.table import WEIGHTS, Weights

MIRROR_VARIABLE = "SGKIT_WEIGHTS_MIRROR"
"""Environment variable with places that are tried before the publisher's: URLs or folders, separated by commas."""


@dataclass(frozen=True, kw_only=True)
class WeightsStatus:
    """State of one entry of :data:`sgkit.weights.table.WEIGHTS` in the cache."""

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
    found = sha256_of(path)
    state: Literal["good", "damaged"] = "good" if found == weights.sha256 else "damaged"
    return WeightsStatus(weights=weights, path=path, state=state, size=path.stat().st_size, sha256=found)


def fetch_weights(name: str, *, mirrors: Iterable[str] = (), on_progress: OnProgress = ignore_progress) -> Path:
    """The file of ``name`` in the cache, downloaded first when it is not there, and checked in either case.

    Args:
        name: an entry of :data:`sgkit.weights.table.WEIGHTS`.
        mirrors: URLs or folders that may have the file under its name; tried first, then those that
            ``$SGKIT_WEIGHTS_MIRROR`` names, then the publisher.
        on_progress: told of what has arrived.

    Raises:
        UsageError: the name is unknown.
        WeightsError: the file cannot be downloaded, or is not the expected one.
        ResourceError: the disk is full.
    """
    weights, path = weights_named(name), weights_path(name)
    if path.is_file():
        check_file(
            path, weights.sha256, advice=f"Remove it, then run 'sgkit weights fetch {name}' to download it again."
        )
        return path
    try:
        return download(_places(weights, mirrors), path, sha256=weights.sha256, on_progress=on_progress)
    except WeightsError as error:
        advice = (
            f"Without a connection: get {weights.url} on another machine, then run 'sgkit weights add FILE' here; or "
            f"name a mirror with --mirror or {MIRROR_VARIABLE}. {weights.instead}"
        )
        raise WeightsError(f"{error} {advice.strip()}") from error


def add_weights(file: str | Path) -> WeightsStatus:
    """Copy ``file``, downloaded by hand, into the cache; its sha256 tells which entry it is, whatever its name.

    Raises:
        InputError: ``file`` is not there.
        WeightsError: it is none of the known files.
    """
    given = Path(file)
    if not given.is_file():
        raise InputError(f"{given} is not a file. Give a file that 'sgkit weights list' has the address of.")
    found = sha256_of(given)
    weights = next((entry for entry in WEIGHTS.values() if entry.sha256 == found), None)
    if weights is None:
        meant = [entry for entry in WEIGHTS.values() if given.name in (entry.file_name, entry.url.rpartition("/")[2])]
        expected = f" {meant[0].name} has {meant[0].sha256}; the file is damaged or cut short." if meant else ""
        raise WeightsError(
            f"{given} is not a known weights file: its sha256 is {found}.{expected} Allowed: "
            f"{', '.join(WEIGHTS)}. Addresses: sgkit weights list --json."
        )
    path = weights_path(weights.name)
    with atomic_path(path) as temporary:
        shutil.copyfile(given, temporary)
    return WeightsStatus(weights=weights, path=path, state="good", size=path.stat().st_size, sha256=found)


def _places(weights: Weights, mirrors: Iterable[str]) -> list[str]:
    """Addresses of a file, in the order in which they are tried."""
    set_for_all = (place.strip() for place in os.environ.get(MIRROR_VARIABLE, "").split(","))
    bases = [base for base in (*mirrors, *set_for_all) if base]
    return [f"{_base(base)}/{weights.file_name}" for base in bases] + [weights.url]


def _base(mirror: str) -> str:
    return (mirror if "://" in mirror else Path(mirror).expanduser().absolute().as_uri()).rstrip("/")


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
    found = known[1] if known is not None and known[0] == state else sha256_of(path)
    if found != sha256:
        raise WeightsError(
            f"{path} is not the expected file: its sha256 is {found}, expected {sha256}. It is damaged, or was "
            f"replaced, and was not used. {advice}"
        )
    _hashes[path] = (state, found)
