"""torch's two file forms, read without torch: the pre-zip stream and the zip archive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sgkit.errors import CheckpointError
from sgkit.runtime import limits
from sgkit.unpickle.allowed import AllowList
from sgkit.unpickle.arrays import STORAGE_TYPES, Storage, as_array
from sgkit.unpickle.budget import Budget, bad_data
from sgkit.unpickle.mapped import mapped_file, written_bytes
from sgkit.unpickle.stand_ins import Allowed, Refused, shown
from sgkit.unpickle.unpickler import Unpickler
from sgkit.unpickle.zips import ZIP_START, stored_members

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little") + b"."
LEGACY_PROTOCOL = 1001


def loads(data: bytes | memoryview) -> Any:
    """What a plain pickle holds, made of numbers, text, containers and the inert objects of this package.

    Raises:
        CheckpointError: it is damaged, breaks a limit, or tries to reach something, which the message names.
    """
    budget = Budget(len(data))
    with budget.guarding(), bad_data("it"):
        return read_pickle(memoryview(data), budget)


def load(path: str | Path) -> Any:
    """The objects of a pickle or torch file, inert, with arrays as views of the mapped file.

    Raises:
        CheckpointError: the file is damaged or hostile; the message says everything that it tried to reach.
        OSError: it cannot be read.
    """
    with limits.open_regular(path) as file:
        data = mapped_file(file)
        budget = Budget(written_bytes(file))
        with budget.guarding(), bad_data("it"):
            start = bytes(data[: len(LEGACY_START)])
            if start.startswith(ZIP_START):
                return read_zip(data, budget)
            if start == LEGACY_START:
                return read_legacy(data, budget)
            if start[:1] == b"\x80" or start[:1] in (b"c", b"("):
                return read_pickle(data, budget)
    raise CheckpointError(
        f"its first bytes are {shown(start[:8].hex(' '))}, which starts neither a pickle, a torch file, nor a "
        ".safetensors file."
    )


def load_tensors(path: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    """The state dict of a torch file that holds nothing else: name -> array, a view of the mapped file.

    Raises:
        CheckpointError: the file is damaged or hostile, or holds something else.
        OSError: it cannot be read.
    """
    loaded = load(path)
    arrays = {key: as_array(value) for key, value in loaded.items()} if isinstance(loaded, dict) else {}
    tensors = {str(key): array for key, array in arrays.items() if array is not None}
    if not tensors or len(tensors) != len(arrays):
        raise CheckpointError("it holds other things than tensors by name.")
    return tensors


def read_pickle(data: memoryview, budget: Budget) -> Any:
    """What a plain pickle holds; torch files nested in it are read under the same rules."""
    return Unpickler(data, find=AllowList(budget, partial(_nested, budget)).find, budget=budget).run()


def _nested(budget: Budget, data: Any = None) -> Any:
    """What a torch file in a byte string holds; inside of it, no further one is allowed."""
    if not isinstance(data, (bytes, memoryview)):
        raise CheckpointError("a nested torch stream is not a byte string.")
    return read_legacy(memoryview(data), budget)


def _too_deep(*_: Any) -> Any:
    raise CheckpointError("it nests torch streams inside torch streams; genuine files nest one level.")


def read_legacy(data: memoryview, budget: Budget) -> Any:
    """What a pre-zip torch file holds: five pickles in a row, then the raw storages."""
    storages: dict[str, Storage] = {}
    unpickler = Unpickler(data, find=AllowList(budget, _too_deep).find, budget=budget)
    if unpickler.run() != LEGACY_MAGIC:
        raise CheckpointError("a torch stream in it does not start with torch's magic number.")
    if unpickler.run() != LEGACY_PROTOCOL:
        raise CheckpointError(f"a torch stream in it is not of the known protocol {LEGACY_PROTOCOL}.")
    system = unpickler.run()
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise CheckpointError("it was written on a big-endian machine, which is not supported.")
    unpickler.persistent = lambda pid: _storage(pid, storages, budget)
    loaded = unpickler.run()
    unpickler.persistent = None
    keys = unpickler.run()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise CheckpointError("a torch stream in it lists other storages than its object uses.")
    for key in keys:
        count = unpickler.number(8)
        if count != storages[key].count:
            raise CheckpointError(f"a torch storage announces {storages[key].count} elements, its data {count}.")
        storages[key].fill(unpickler.take(storages[key].num_bytes))
    return loaded


def _storage(pid: Any, storages: dict[str, Storage], budget: Budget) -> Storage | Refused:
    """The storage of a persistent id ``("storage", type, key, location, count[, view])``."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or not isinstance(pid[2], str):
        raise CheckpointError("a reference to tensor data in it is damaged.")
    kind, key, count, view = pid[1], pid[2], pid[4], pid[5:]
    if isinstance(kind, Refused):
        return kind
    name = kind.name.rpartition(".")[2] if isinstance(kind, Allowed) else ""
    if name not in STORAGE_TYPES:
        return budget.refuse(f"a torch storage of unknown type {shown(name)}")
    if view not in ((), (None,)):
        raise CheckpointError("it holds a view of a torch storage; genuine files hold whole storages.")
    known = storages.setdefault(key, Storage(name, count, budget))
    if (known.kind, known.count) != (name, count):
        raise CheckpointError(f"torch storage {shown(key)} is described in two ways.")
    return known


def read_zip(data: memoryview, budget: Budget) -> Any:
    """What a zip torch file holds."""
    return read_members(stored_members(data), AllowList(budget, _too_deep).find, budget)


def read_members(members: dict[str, memoryview], find: Callable[[str, str], Any], budget: Budget) -> Any:
    """What the members of a zip torch file hold; ``find`` gives the object for a global's module and name."""
    root = _root(members)
    order = members.get(root + "byteorder")
    if order is not None and bytes(order[:16]).strip() != b"little":
        raise CheckpointError("it was written on a big-endian machine, which is not supported.")
    storages: dict[str, Storage] = {}
    unpickler = Unpickler(
        members[root + "data.pkl"],
        find=find,
        budget=budget,
        persistent=lambda pid: _storage(pid, storages, budget),
    )
    loaded = unpickler.run()
    for key, storage in storages.items():
        member = members.get(f"{root}data/{key}")
        if member is None:
            raise CheckpointError(f"the archive has no data for torch storage {shown(key)}.")
        storage.fill(member)
    return loaded


def _root(members: dict[str, memoryview]) -> str:
    roots = [name[: -len("data.pkl")] for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(f"the archive is not a torch file: {len(roots)} members are named data.pkl, not one.")
    return roots[0]
