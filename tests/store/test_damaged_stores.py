"""A store that is damaged, half copied or hostile is refused with a reason, and 'data verify' finds it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from sgkit.errors import StoreError
from sgkit.store import StoreDataset
from sgkit.store.header import read_header
from sgkit.tasks import data
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import header_of


@pytest.fixture
def store(store_path: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(store_path, tmp_path / "store"))


def change_header(store: Path, change: dict[str, Any]) -> None:
    values = json.loads((store / "header.json").read_text())
    for key, value in change.items():
        node = values
        *parents, last = key.split(".")
        for parent in parents:
            node = node[int(parent)] if parent.isdecimal() else node[parent]
        node[last] = value
    (store / "header.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_images": 2**62, "parts.0.num_images": 2**62}, "it has 53 entries"),
        ({"num_images": 14, "parts.0.num_images": 14}, "it has 53 entries; 14 images have 57"),
        ({"num_images": 14}, "num_images is 14; it must be the sum over all parts, 13"),
        ({"num_images": -1, "parts.0.num_images": -1}, "num_images is -1"),
        ({"parts": []}, r"parts is a list of 0 values"),
        ({"parts.0.file": "../../../etc/passwd"}, "must be a file name without folders"),
        ({"parts.0.file": "/dev/zero"}, "must be a file name without folders"),
        ({"parts.0.file": ".."}, "must be a file name without folders"),
        ({"parts.0.file": "header.json"}, "does not begin like an LMDB file|ends at byte"),
        ({"parts.0.file": "nothing.mdb"}, "cannot be opened"),
        ({"image_size": [2**30, 2**30]}, "has more than 268,435,456 pixels"),
        ({"image_size": [0, 8]}, "must be at least 1x1"),
        ({"image_size": [8]}, "image_size is"),
        ({"image_size": [16, 16]}, "entries"),
        ({"image_channels": 9}, "image_channels is 9"),
        ({"encoding": "gif"}, "encoding is 'gif'"),
        ({"labels.names": []}, "labels.names"),
        ({"labels": {"kind": "none", "names": ["a"]}}, "labels.names"),
        ({"labels": {"kind": "none", "names": []}}, "entries"),
        ({"version": 2}, "format version 2"),
        ({"format": "x"}, "not the header of an sgkit store"),
        ({"surprise": 1}, "Unknown configuration key 'surprise'"),
    ],
)
def test_a_header_with_values_that_no_store_has_is_refused(store: Path, change: dict[str, Any], message: str) -> None:
    change_header(store, change)
    with pytest.raises(StoreError, match=message):
        StoreDataset(store)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[" * 100_000, b"[]", b"null", b"\xff\xfe", b'{"format": "sgkit-store", "version": 1}']
)
def test_a_header_that_is_no_header_is_refused(store: Path, text: bytes) -> None:
    (store / "header.json").write_bytes(text)
    with pytest.raises(StoreError, match=r"[Hh]eader of store|header of an sgkit store"):
        read_header(store)


def cut(part: Path) -> None:
    os.truncate(part, part.stat().st_size // 2)


def remove(part: Path) -> None:
    part.unlink()


def fill_with_zeros(part: Path) -> None:
    part.write_bytes(bytes(part.stat().st_size))


def replace_by_pipe(part: Path) -> None:
    part.unlink()
    os.mkfifo(part)


@pytest.mark.parametrize("damage", [cut, remove, fill_with_zeros, replace_by_pipe])
def test_a_damaged_part_is_named_before_anything_is_read(store: Path, damage: Callable[[Path], None]) -> None:
    damage(store / "part-00000.mdb")
    for use in (data.verify, data.info, StoreDataset):
        with pytest.raises(StoreError, match=r"part-00000.mdb .*prepare the store again"):
            use(store)


def put(store: Path, key: bytes, value: bytes) -> None:
    part = str(store / "part-00000.mdb")
    with lmdb.open(part, subdir=False, lock=False, map_size=1 << 26) as environment, environment.begin(write=True) as t:
        t.put(key, value)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (b"8x8", b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
        (b"8x8", b"GIF89a" + bytes(50), "cannot be decoded"),
        (b"label", b"\x63\0\0\0", "class 99; the store has classes 0 to 1"),
        (b"label", b"\xff\xff\xff\xff", "class -1"),
        (b"label", b"\0", "has 1 bytes; 4 were expected"),
        (b"meta", b"\xff", "description of image 3"),
        (b"meta", b"[" * 9000, "description of image 3"),
        (b"meta", b"[]", "description of image 3"),
        (b"meta", b'{"name": 1, "pixels": "00"}', "description of image 3"),
        (b"meta", b'{"name": "a", "pixels": "\xff"}', "description of image 3"),
    ],
)
def test_verify_names_a_damaged_record(store: Path, key: bytes, value: bytes, problem: str) -> None:
    put(store, b"0000000003:" + key, value)
    result = data.verify(store)
    (found,) = result.problems
    assert found.index == 3
    assert problem in found.problem
    assert not result.ok


def test_verify_looks_at_the_structure_of_each_part(store: Path) -> None:
    part = store / "part-00000.mdb"
    part.write_bytes(part.read_bytes().replace(b"0000000005:meta", b"9999999999:meta"))
    result = data.verify(store)
    assert [(p.index, p.name) for p in result.problems][:1] == [(0, "part-00000.mdb")]
    assert "keys are out of order" in result.problems[0].problem


def test_a_damaged_image_of_a_store_is_left_out_when_it_is_prepared_again(store: Path, tmp_path: Path) -> None:
    put(store, b"0000000003:8x8", b"damage")
    header = header_of(prepare(store, tmp_path / "new", options=PrepareOptions(size=(8, 8))))
    assert (header.num_images, dict(header.skipped)) == (12, {"unreadable": 1})
