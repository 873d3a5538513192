"""NumPy archives: what NumPy and its tools write is read, and what lies about itself is refused within bounds."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sgkit.errors import CheckpointError
from sgkit.unpickle.mapped import written_bytes
from sgkit.unpickle.npz import read_npy, read_npz
from tests.unpickle.limited import run_limited

ARRAYS = {
    "numbers": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    "one": np.array(1.5),
    "none": np.zeros((0, 4), np.float16),
    "flag": np.array([True, False]),
    "text": np.array("a text"),
    "names": np.array(["a", "\u00e9\u4e2d"]),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(save: Callable[..., None], tmp_path: Path) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    read = read_npz(tmp_path / "a.npz")
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_npy_is_read(version: tuple[int, int], tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, ARRAYS["numbers"], version=version)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), ARRAYS["numbers"])


def npy(header: str, body: bytes = b"", *, version: int = 1) -> bytes:
    """An array file by hand."""
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + body


def header(shape: str = "(1,)", descr: str = "'<f4'", rest: str = "") -> str:
    """A header as NumPy writes it."""
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {rest}}}\n"


def pickled_array() -> bytes:
    """An array of Python objects."""
    file = io.BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    return file.getvalue()


MEMBERS = {
    "a shape of 2**62": (npy(header(f"({2**62},)")), "is not the shape"),
    "a shape that overflows": (npy(header(f"({2**32}, {2**32})")), "is not the shape"),
    "no elements, and 2**62 rows": (npy(header(f"(0, {2**62})")), "is not the shape"),
    "forty axes": (npy(header("(" + "1, " * 40 + ")"), bytes(4)), "is not the shape"),
    "a shape beyond the bytes": (npy(header("(9,)"), bytes(8)), r"claims shape \[9\] of float32, but 8 bytes"),
    "bytes beyond the shape": (npy(header("(1,)"), bytes(8)), r"claims shape \[1\] of float32, but 8 bytes"),
    "a negative side": (npy(header("(-1,)")), "is not that of an array"),
    "a side of a thousand digits": (npy(header("(" + "9" * 1000 + ",)")), "is not that of an array"),
    "sides without commas": (npy(header("(1 2)"), bytes(4)), "is not that of an array"),
    "records": (npy(header(descr="[('a', '<f4')]"), bytes(4)), "is not that of an array"),
    "raw bytes": (npy(header(descr="'|V4'"), bytes(4)), "of type '|V4'"),
    "dates": (npy(header(descr="'<M8[s]'"), bytes(8)), "of type"),
    "complex numbers": (npy(header(descr="'<c8'"), bytes(8)), "of type '<c8'"),
    "texts of gigabytes": (npy(header("(0,)", descr="'<U999999999'")), "of type"),
    "codes beyond Unicode": (npy(header(descr="'<U1'"), b"\0\0\x11\0"), "codes that are not characters"),
    "half a character": (npy(header(descr="'<U1'"), b"\0\xd8\0\0"), "codes that are not characters"),
    "objects": (pickled_array(), "nothing of it was run. It tries to reach .*print"),
    "deep nesting": (npy("(" * 9000 + ")" * 9000), "its header has"),
    "nesting in a list": (npy(header(descr="[" * 4000 + "]" * 4000)), "is not that of an array"),
    "code": (npy("__import__('os').system('true')"), "is not that of an array"),
    "half a header": (npy(header()[:30]), "is not that of an array"),
    "an unknown key": (npy(header(rest="'x': True"), bytes(4)), "is not that of an array"),
    "a key that stands twice": (npy(header(rest="'shape': (1,)"), bytes(4)), "is not that of an array"),
    "a header of 4 GB": (npy(header(), version=2).replace(struct.pack("<I", len(header())), b"\xff" * 4), "its header"),
    "a version of the future": (npy(header(), version=9), "does not start as an .npy file"),
    "no array": (b"hello", "does not start as an .npy file"),
    "nothing": (b"", "does not start as an .npy file"),
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("kind", MEMBERS)
def test_an_array_that_is_not_what_it_claims_is_refused(kind: str, compression: int, tmp_path: Path) -> None:
    member, message = MEMBERS[kind]
    with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
        archive.writestr("w.npy", member)
    with pytest.raises(CheckpointError, match=message):
        read_npz(tmp_path / "a.npz")


def archive(path: Path, *, size: int = 100, method: int = zipfile.ZIP_DEFLATED, copies: int = 1) -> bytearray:
    """The bytes of an archive of zeros."""
    with zipfile.ZipFile(path, "w", method) as file:
        for number in range(copies):
            file.writestr(f"w{number}.npy", npy(header(f"({size},)"), bytes(4 * size)))
    return bytearray(path.read_bytes())


def patched(data: bytearray, *, field: int, value: bytes) -> bytearray:
    """An archive with the last entry of its index changed at an offset."""
    place = data.rfind(b"PK\x01\x02") + field
    data[place : place + len(value)] = value
    return data


LIES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a size that is too small": (lambda p: patched(archive(p), field=24, value=struct.pack("<I", 9)), "is damaged"),
    "a size of gigabytes": (lambda p: patched(archive(p), field=24, value=struct.pack("<I", 2**32 - 2)), "expands to"),
    "a packed size beyond the file": (
        lambda p: patched(archive(p), field=20, value=struct.pack("<I", 2**30)),
        "reaches past the end",
    ),
    "a checksum that is wrong": (lambda p: patched(archive(p), field=16, value=b"abcd"), "is damaged"),
    "an unknown method": (lambda p: patched(archive(p), field=10, value=b"\x63\0"), "packed by method 99"),
    "encryption": (lambda p: patched(archive(p), field=8, value=b"\1\0"), "is encrypted"),
    "a place beyond the file": (
        lambda p: patched(archive(p), field=42, value=struct.pack("<I", 2**31)),
        "not where its index says",
    ),
    "two members in one place": (
        lambda p: patched(archive(p, copies=2), field=42, value=bytes(4)),
        "overlap",
    ),
    "a name that climbs": (lambda p: archive(p).replace(b"w0.npy", b"../w.n"), "unsafe name"),
    "a name that stands twice": (lambda p: archive(p, copies=2).replace(b"w1.npy", b"w0.npy"), "holds 'w0.npy' twice"),
    "damaged packed bytes": (lambda p: archive(p)[:40] + b"\xff" * 20 + archive(p)[60:], "is damaged"),
    "half an archive": (lambda p: archive(p)[:-30], "it has no index at its end"),
    "more entries than there are": (lambda p: archive(p)[:-12] + b"\xff\x4f" + archive(p)[-10:], "damaged|members"),
    "no archive": (lambda p: b"PK\x03\x04" + bytes(100), "it has no index at its end"),
    "a few bytes": (lambda p: b"PK", "cut short"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_archive_that_is_not_what_it_claims_is_refused(lie: str, tmp_path: Path) -> None:
    make, message = LIES[lie]
    path = tmp_path / "a.npz"
    path.write_bytes(make(path))
    with pytest.raises(CheckpointError, match=message):
        read_npz(path)


BOMBS: dict[str, Callable[[Path], object]] = {
    "one array": lambda p: archive(p, size=30 << 20),
    "many arrays": lambda p: archive(p, size=1 << 20, copies=30),
    "many members": lambda p: archive(p, size=1, copies=30_000),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_archive_cannot_take_the_machine(bomb: str, tmp_path: Path) -> None:
    BOMBS[bomb](tmp_path / "a.npz")
    printed = run_limited(
        "from sgkit.unpickle.npz import read_npz; read_npz(path)", tmp_path / "a.npz", memory=600 << 20
    )
    assert printed.startswith("CheckpointError: ")


def sparse(path: Path, start: bytes, size: int, end: bytes = b"") -> None:
    """A file that claims ``size`` bytes and takes almost no room on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
        file.seek(size)
        file.write(end)


@pytest.mark.skipif(not hasattr(os, "SEEK_HOLE"), reason="needs a system that tells where holes are")
def test_a_file_of_holes_does_not_count_by_the_size_that_it_claims(tmp_path: Path) -> None:
    path, size = tmp_path / "a.npy", 8 << 30
    head = npy(header(f"({size // 4},)"))
    sparse(path, head, size + len(head))
    if path.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system keeps no holes")
    with pytest.raises(CheckpointError, match="expands to more than"):
        read_npy(path)
    sparse(path, b"\x80\x02T" + struct.pack("<I", 3 << 30), 3 << 30, bytes(8) + b".")
    printed = run_limited("from sgkit.unpickle import load; load(path)", path, memory=12 << 30)
    assert printed.startswith("CheckpointError: ")


def test_written_bytes_are_all_where_there_are_no_holes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS)
    with (tmp_path / "a.npz").open("rb") as file:
        file.read(5)
        assert written_bytes(file) == (tmp_path / "a.npz").stat().st_size
        assert file.tell() == 5
