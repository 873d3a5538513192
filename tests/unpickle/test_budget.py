"""Small files that unfold to much memory or work: each kind is refused in a process of limited memory and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sgkit.checkpoint.foreign import read_foreign
from sgkit.errors import CheckpointError
from sgkit.unpickle import load
from sgkit.unpickle.budget import bad_data
from tests.unpickle import pickles as p
from tests.unpickle.limited import run_limited

MIB = 1 << 20
NUMPY = p.named("numpy.core.multiarray", "_reconstruct") + p.named("numpy", "ndarray")
BYTE_TYPE = p.call(p.named("numpy", "dtype"), p.text("u1"), p.number(0), p.number(1))
OLD_TEXT = b"T" + (8 * MIB).to_bytes(4, "little") + b"A" * (8 * MIB)


def repeated(first: bytes, then: bytes, times: int) -> bytes:
    """``first`` remembered as object 0, then ``then`` many times, each result dropped."""
    return p.pickled(first + p.put(0) + (then + b"0") * times)


def list_of(count: int, item: bytes = p.NONE) -> bytes:
    """A list."""
    return p.EMPTY_LIST + p.MARK + item * count + b"e"


def arrays_over(data: bytes) -> bytes:
    """A thousand arrays of the same 8 MiB."""
    one = NUMPY + p.tuple_of(p.number(0)) + p.text("b") + b"\x87R"
    state = p.tuple_of(p.number(1), p.tuple_of(p.number(8 * MIB)), BYTE_TYPE, b"\x89", p.get(0)) + p.BUILD
    return repeated(data, one + state, 1000)


def views(kind: str, itemsize: int) -> bytes:
    """Hundreds of tensors over one storage of 8 MiB."""
    count = 8 * MIB // itemsize
    one = p.tensor((count,), (1,), count=count, kind=kind) + b"0"
    return p.legacy(one * 300 + p.NONE, {"0": bytes(8 * MIB)}, itemsize=itemsize)


def colliding(step: int, count: int = 40_000) -> bytes:
    """A list of whole numbers that differ by ``step``; all multiples of 2**61 - 1 have the same hash."""
    numbers = (b"\x8a\x0c" + (step * k).to_bytes(12, "little") for k in range(1, count))
    return p.EMPTY_LIST + p.MARK + b"".join(numbers) + b"e"


SAME_HASH = (1 << 61) - 1
SIZE, ORDERED, SET = p.named("torch", "Size"), p.named("collections", "OrderedDict"), p.named("builtins", "set")
PAIRS = list_of(90_000, p.tuple_of(p.text("k"), p.NONE))
NESTED = p.legacy(p.text("x" * MIB))
SMILE = "\U0001f600"

KINDS: dict[str, Callable[[], bytes]] = {
    "copies of a list as torch sizes": lambda: repeated(list_of(190_000), SIZE + p.get(0) + b"\x85R", 20_000),
    "copies of a list as sets": lambda: repeated(list_of(190_000), SET + p.get(0) + b"\x85R", 20_000),
    "copies of a list as tables": lambda: repeated(PAIRS, ORDERED + p.get(0) + b"\x85R", 20_000),
    "copies of a list into lists": lambda: repeated(
        list_of(190_000), p.EMPTY_LIST + p.MARK + p.get(0) * 999 + b"e", 999
    ),
    "arrays of the same text": lambda: arrays_over(OLD_TEXT),
    "arrays of the same bytes": lambda: arrays_over(p.raw(b"A" * (8 * MIB))),
    "text encoded again and again": lambda: repeated(
        OLD_TEXT, p.call(p.named("_codecs", "encode"), p.get(0), p.text("latin1")), 1000
    ),
    "views of a storage": lambda: views("FloatStorage", 4),
    "views of a storage that are widened": lambda: views("BFloat16Storage", 2),
    "a torch stream read again and again": lambda: repeated(
        p.raw(NESTED), p.call(p.named("torch.storage", "_load_from_bytes"), p.get(0)), 5000
    ),
    "wide characters": lambda: p.pickled((p.text(SMILE + "x" * (4 * MIB)) + b"0") * 6),
    "empty sets": lambda: p.pickled(b"\x8f" * 150_000 + (p.MARK + b"\x8f" * 150_000) * 8),
    "entries of the memo": lambda: p.pickled(p.NONE + b"\x94" * 3_000_000),
    "items without end": lambda: p.pickled(b"N0" * 3_000_000),
    "deep tuples": lambda: p.pickled(p.NONE + b"\x85" * 3_000_000),
    "numbers of one hash in a set": lambda: p.pickled(SET + colliding(SAME_HASH) + b"\x85R"),
    "numbers of one hash in a table": lambda: p.pickled(p.EMPTY_DICT + p.MARK + colliding(SAME_HASH)[2:-1] + b"u"),
    "numbers of one hash in a set's items": lambda: p.pickled(b"\x8f" + p.MARK + colliding(SAME_HASH)[2:-1] + b"\x90"),
    "fractions as keys": lambda: p.pickled(p.EMPTY_DICT + b"G" + bytes(8) + p.NONE + b"s"),
    "tuples as keys": lambda: p.pickled(p.EMPTY_DICT + p.tuple_of(p.number(1)) + p.NONE + b"s"),
    "a text of megabytes in a message": lambda: p.pickled(p.text("x" * (30 * MIB)) + p.text("y") + b"\x93"),
    "a list of megabytes in a message": lambda: p.pickled(
        p.call(p.named("numpy", "dtype"), p.EMPTY_LIST + p.text("x" * (30 * MIB)) + b"a")
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_file_cannot_take_the_machine(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file.pkl").write_bytes(KINDS[kind]())
    printed = run_limited("from sgkit.unpickle import load; load(path)", tmp_path / "file.pkl", memory=1 << 29)
    assert printed.startswith("CheckpointError: ")
    assert len(printed) < 1000


def module(state: bytes) -> bytes:
    """A module of NVIDIA's projects."""
    meta = p.dict_of(type=p.text("class"), version=p.number(6), class_name=p.text("Generator"), state=state)
    return p.call(p.named("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)


def table_of(count: int, value: bytes) -> bytes:
    """A table of many keys."""
    return p.EMPTY_DICT + p.MARK + b"".join(b"M" + k.to_bytes(2, "little") + value for k in range(count)) + b"u"


def shared_modules() -> bytes:
    """Many modules that are one, which has many attributes."""
    shared = module(table_of(30_000, b"K\x01")) + p.put(0) + b"0"
    return p.pickled(shared + p.dict_of(G_ema=module(p.dict_of(_modules=table_of(30_000, p.get(0))))))


def shared_parts() -> bytes:
    """A TensorFlow network of many parts that are one, which has many variables."""
    variable = p.tuple_of(p.text("v"), p.array((1,), bytes(4)))
    network = p.named("tfutil", "Network") + p.EMPTY_TUPLE + p.NEWOBJ
    part = network + p.dict_of(version=p.number(3), variables=variable + p.put(1) + b"0" + list_of(30_000, p.get(1)))
    whole = p.dict_of(version=p.number(3), components=table_of(30_000, p.get(0)))
    return p.pickled(part + p.BUILD + p.put(0) + b"0" + p.tuple_of(network + whole + p.BUILD))


def shared_array() -> bytes:
    """An option that holds one small array very often."""
    array = p.array((4096,), bytes(4 * 4096)) + p.put(0) + b"0"
    return p.pickled(array + p.dict_of(G_ema=module(p.dict_of(_init_kwargs=p.dict_of(a=list_of(60_000, p.get(0)))))))


@pytest.mark.parametrize("make", [shared_modules, shared_parts, shared_array])
def test_what_is_shared_is_not_described_again_and_again(make: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "file.pkl").write_bytes(make())
    with pytest.raises(CheckpointError, match="more than 75,000 items; no checkpoint needs that many"):
        read_foreign(tmp_path / "file.pkl")


def test_a_cut_file_of_large_tensors_says_that_it_is_cut(tmp_path: Path) -> None:
    whole = p.legacy(p.tensor((10**8,), (1,), count=10**8), {"0": b""})
    (tmp_path / "file.pt").write_bytes(whole[:-8] + (10**8).to_bytes(8, "little") + bytes(100))
    with pytest.raises(CheckpointError, match="cut short or damaged: 400000000 bytes are expected"):
        load(tmp_path / "file.pt")


@pytest.mark.parametrize("error", [AttributeError("a"), NotImplementedError(), RecursionError("r"), OverflowError("o")])
def test_what_damaged_bytes_raise_is_one_error(error: Exception) -> None:
    with pytest.raises(CheckpointError, match=f"the file is damaged .{type(error).__name__}"), bad_data("the file"):
        raise error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_machine_without_memory_is_not_called_a_damaged_file(error: Exception) -> None:
    with pytest.raises(type(error)), bad_data("the file"):
        raise error
