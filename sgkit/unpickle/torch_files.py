"""torch's two file forms, read without torch: the pre-zip stream and the zip archive."""

from __future__ import annotations

import struct
import zipfile
from typing import IO, Any

from sgkit.errors import CheckpointError
from sgkit.unpickle.allowed import AllowList
from sgkit.unpickle.arrays import STORAGE_TYPES, Storage
from sgkit.unpickle.inert import Allowed, Budget, Refused, shown
from sgkit.unpickle.unpickler import Machine

__all__ = ["LEGACY_START", "read_legacy", "read_pickle", "read_zip", "stored_members"]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little") + b"."
LEGACY_PROTOCOL = 1001
MAX_MEMBERS = 20_000
LOCAL_HEADER = 30


def read_pickle(data: memoryview, budget: Budget) -> Any:
    """What a plain pickle holds; torch files nested in it are read under the same rules.

    Raises:
        CheckpointError: it is damaged or breaks a limit. Refused globals are left in ``budget.refused``.
    """
    return Machine(data, find=AllowList(budget, _nested(budget)).find, budget=budget).run()


def _nested(budget: Budget) -> Any:
    """Reads a torch file in a byte string; inside of it, no further one is allowed."""

    def load_bytes(data: Any = None) -> Any:
        if not isinstance(data, (bytes, memoryview)):
            raise CheckpointError("a nested torch stream is no byte string.")
        return read_legacy(memoryview(data), budget)

    return load_bytes


def _too_deep(*_: Any) -> Any:
    raise CheckpointError("it nests torch streams inside torch streams; true files nest one level.")


def read_legacy(data: memoryview, budget: Budget) -> Any:
    """What a pre-zip torch file holds: five pickles in a row, then the raw storages.

    Raises:
        CheckpointError: it is damaged or breaks a limit.
    """
    storages: dict[str, Storage] = {}
    machine = Machine(data, find=AllowList(budget, _too_deep).find, budget=budget)
    if machine.run() != LEGACY_MAGIC:
        raise CheckpointError("a torch stream in it does not start with torch's magic number.")
    if machine.run() != LEGACY_PROTOCOL:
        raise CheckpointError(f"a torch stream in it is not of the known protocol {LEGACY_PROTOCOL}.")
    system = machine.run()
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise CheckpointError("it was written on a big-endian machine, which is not supported.")
    machine.persistent = lambda pid: _storage(pid, storages, budget)
    loaded = machine.run()
    machine.persistent = None
    keys = machine.run()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise CheckpointError("a torch stream in it lists other storages than its object uses.")
    for key in keys:
        count = machine.number(8)
        if count != storages[key].count:
            raise CheckpointError(f"a torch storage announces {storages[key].count} elements, its data {count}.")
        storages[key].fill(machine.take(storages[key].num_bytes))
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
        raise CheckpointError("it holds a view of a torch storage; true files hold whole storages.")
    known = storages.setdefault(key, Storage(name, count))
    if (known.kind, known.count) != (name, count):
        raise CheckpointError(f"torch storage {shown(key)} is described in two ways.")
    return known


# ---------------------------------------------------------------------------------------------- archives


def read_zip(file: IO[bytes], data: memoryview, budget: Budget) -> Any:
    """What a zip torch file holds.

    Raises:
        CheckpointError: it is damaged, compressed, or breaks a limit.
    """
    members = stored_members(file, data)
    root = _root(members)
    order = members.get(root + "byteorder")
    if order is not None and bytes(order[:16]).strip() != b"little":
        raise CheckpointError("it was written on a big-endian machine, which is not supported.")
    storages: dict[str, Storage] = {}
    machine = Machine(
        members[root + "data.pkl"],
        find=AllowList(budget, _too_deep).find,
        budget=budget,
        persistent=lambda pid: _storage(pid, storages, budget),
    )
    loaded = machine.run()
    for key, storage in storages.items():
        member = members.get(f"{root}data/{key}")
        if member is None:
            raise CheckpointError(f"the archive has no data for torch storage {shown(key)}.")
        storage.fill(member)
    return loaded


def _root(members: dict[str, memoryview]) -> str:
    roots = [name[: -len("data.pkl")] for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(f"the archive is no torch file: {len(roots)} members are named data.pkl, not one.")
    return roots[0]


def stored_members(file: IO[bytes], data: memoryview) -> dict[str, memoryview]:
    """The members of an archive by name, as views of ``data``; nothing is unpacked.

    Raises:
        CheckpointError: a member is compressed or encrypted (checkpoints are neither, so no zip bomb gets further),
            lies outside the file, has an unsafe or repeated name, or the archive is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError, EOFError) as error:
        raise CheckpointError(f"the archive is damaged or cut short ({error}).") from error
    if len(infos) > MAX_MEMBERS:
        raise CheckpointError(f"the archive has {len(infos)} members; at most {MAX_MEMBERS} are allowed.")
    members: dict[str, memoryview] = {}
    for info in infos:
        if info.is_dir():
            continue
        if info.filename in members:
            raise CheckpointError(f"the archive holds {shown(info.filename)} twice.")
        members[info.filename] = _member(info, data)
    return members


def _member(info: zipfile.ZipInfo, data: memoryview) -> memoryview:
    name = shown(info.filename)
    parts = info.filename.split("/")
    if info.filename.startswith("/") or ".." in parts or "\\" in info.filename or ":" in info.filename:
        raise CheckpointError(f"the archive has a member with an unsafe name: {name}.")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
        raise CheckpointError(
            f"the archive's member {name} is compressed or encrypted ({info.compress_size} bytes claim to be "
            f"{info.file_size}); checkpoints are stored plain."
        )
    header = bytes(data[info.header_offset : info.header_offset + LOCAL_HEADER]) if info.header_offset >= 0 else b""
    if len(header) < LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise CheckpointError(f"the archive's member {name} is not where its index says.")
    start = info.header_offset + LOCAL_HEADER + sum(struct.unpack("<HH", header[26:30]))
    if start + info.file_size > len(data):
        raise CheckpointError(f"the archive's member {name} reaches past the end of the file: it is cut short.")
    return data[start : start + info.file_size]
