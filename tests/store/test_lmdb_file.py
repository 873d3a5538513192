from __future__ import annotations

import multiprocessing
import os
import random
import struct
from pathlib import Path

import lmdb
import pytest

from sgkit.errors import StoreError
from sgkit.store.lmdb_file import LmdbFile
from sgkit.store.records import PartWriter, Record

PAGE = 4096


def write(path: Path, entries: dict[bytes, bytes], *, delete: tuple[bytes, ...] = (), subdir: bool = False) -> Path:
    with lmdb.open(str(path), map_size=1 << 28, subdir=subdir, lock=False) as environment:
        with environment.begin(write=True) as transaction:
            for key, value in entries.items():
                transaction.put(key, value)
        for key in delete:
            with environment.begin(write=True) as transaction:
                transaction.delete(key)
    return path / "data.mdb" if subdir else path


def entries(count: int, *, seed: int = 0) -> dict[bytes, bytes]:
    r = random.Random(seed)
    lengths = [0, 1, 100, 2000, 5000, 20000]
    return {r.randbytes(r.randrange(1, 60)): r.randbytes(r.choice(lengths)) for _ in range(count)}


@pytest.mark.parametrize("count", [0, 1, 2, 30, 3000])
@pytest.mark.parametrize("subdir", [False, True])
def test_it_reads_what_the_library_wrote(tmp_path: Path, count: int, subdir: bool) -> None:
    wanted = entries(count)
    gone = tuple(sorted(wanted)[3::50])
    file = LmdbFile(write(tmp_path / "x", wanted, delete=gone, subdir=subdir), whole=True)
    left = {key: value for key, value in wanted.items() if key not in gone}
    file.check()
    assert len(file) == len(left)
    assert list(file.keys()) == sorted(left)
    assert all(file.get(key) == value for key, value in left.items())
    assert not any(file.get(key) for key in (*gone, b"", b"a", b"\xff" * 511))


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A part with an inner page, values inside and outside of their page, and a list of free pages."""
    path = tmp_path_factory.mktemp("part") / "part-00000.mdb"
    writer, r = PartWriter(path), random.Random(1)
    for first in range(0, 60, 20):
        records = [Record({"8x8": r.randbytes(r.choice([300, 6000]))}, b"1234", {"name": "n"}) for _ in range(20)]
        writer.commit(first, records, {"num_bytes": 100_000, "num_images": first + 20})
    return path.read_bytes()


def read_all(path: Path) -> list[bytes | None]:
    file = LmdbFile(path, whole=True)
    file.check()
    return [file.get(key) for key in file.keys()]  # noqa: SIM118


def damaged(data: bytes, kind: str, r: random.Random) -> bytes:
    copy = bytearray(data)
    if kind == "cut":
        return bytes(copy[: r.randrange(len(copy))])
    page = r.choice([0, 1]) if kind == "meta pages" else r.randrange(2, len(copy) // PAGE)
    for _ in range(r.choice([1, 4, 16])):
        place = r.randrange(len(copy)) if kind == "anywhere" else page * PAGE + r.randrange(160)
        copy[place] = r.choice([0, 1, 0x7F, 0x80, 0xFF, r.randrange(256)])
    return bytes(copy)


@pytest.mark.parametrize("kind", ["cut", "meta pages", "page headers", "anywhere"])
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, part: bytes, kind: str) -> None:
    r, path, refused = random.Random(0), tmp_path / "x.mdb", 0
    for _ in range(150):
        path.write_bytes(damaged(part, kind, r))
        try:
            read_all(path)
        except StoreError:
            refused += 1
    assert refused > 10


def _continue(path: str) -> None:
    writer = PartWriter(Path(path))
    try:
        state = writer.read_state() or {}
        records = [Record({"8x8": bytes(5000)}, b"1234", {"name": "n"})] * 20
        for first in (60, 80):  # the second transaction takes pages from the list of free ones
            writer.commit(first, records, {**state, "num_bytes": 10**6, "num_images": first + 20})
    except StoreError:
        os._exit(3)


def test_the_library_writes_only_to_files_whose_structure_is_sound(tmp_path: Path, part: bytes) -> None:
    """The library ends the process by a signal when a page that it trusts is damaged."""
    r, codes = random.Random(2), []
    context = multiprocessing.get_context("fork" if os.name != "nt" else "spawn")
    for number in range(40):
        path = tmp_path / f"{number}.mdb"
        path.write_bytes(part if number == 0 else damaged(part, r.choice(["cut", "meta pages", "page headers"]), r))
        process = context.Process(target=_continue, args=(str(path),))
        process.start()
        process.join(20)
        codes.append(process.exitcode)
    assert codes[0] == 0
    assert set(codes) == {0, 3}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (16, b"\0\0\0\0", "does not begin like an LMDB file"),
        (20, b"\2\0\0\0", "format 2; format 1 is read"),
        (16 + 24, struct.pack("<I", 12345), "meta page holds impossible values"),
        (16 + 24 + 48 + 4, struct.pack("<H", 0x04), "sorted duplicates"),
        (16 + 24 + 48 + 6, struct.pack("<H", 99), "meta page holds impossible values"),
        (16 + 24 + 48 + 40, struct.pack("<Q", 1 << 60), "meta page holds impossible values"),
        (16 + 24 + 48 + 32, struct.pack("<Q", 1 << 60), "meta page holds impossible values"),
        (16 + 24 + 96, struct.pack("<Q", 1 << 40), "a copy that was cut short"),
    ],
)
def test_what_is_wrong_with_a_meta_page_is_said(
    tmp_path: Path, part: bytes, place: int, value: bytes, message: str
) -> None:
    copy = bytearray(part)
    for page in (0, 1):
        copy[page * PAGE + place : page * PAGE + place + len(value)] = value
    (tmp_path / "x.mdb").write_bytes(copy)
    with pytest.raises(StoreError, match=message):
        LmdbFile(tmp_path / "x.mdb", whole=True)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path, part: bytes) -> None:
    path = tmp_path / "x.mdb"
    path.write_bytes(part)
    file = LmdbFile(path, whole=True)
    keys = list(file.keys())
    os.truncate(path, PAGE * 3)
    with pytest.raises(StoreError, match=r"x.mdb is damaged: it ends at byte .* \(a copy that was cut short\?\)"):
        [file.get(key) for key in keys]


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.mdb"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(StoreError, match=r"x.mdb cannot be opened"):
        LmdbFile(path)


def test_a_key_whose_bytes_are_in_a_value_as_well_is_found(tmp_path: Path) -> None:
    records = {b"a": b"\1\0c", b"b": b"\1\0b", b"c": b"1", b"d": b"", b"d2": b"2"}
    path = tmp_path / "a.mdb"
    with lmdb.open(str(path), subdir=False, lock=False) as environment, environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    file = LmdbFile(path)
    assert {key: file.get(key) for key in records} == records
    assert file.get(b"e") is None
