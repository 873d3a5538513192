from __future__ import annotations

from pathlib import Path

import pytest

import sgkit
from sgkit.errors import CheckpointError
from tests.unpickle import pickles as p

DOUBLED = p.text("a") + b"\x85" + b"".join(p.put(level) + p.get(level) + b"\x86" for level in range(60))
"""Sixty tuples, each holding the one before it twice: 2 ** 60 texts, if anything ever spelled them out."""
DEEP = p.NONE + b"\x85" * 100_000
"""Tuples nested deeper than Python recurses."""


def modules(meta: bytes) -> bytes:
    return p.call(p.named("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)


def tensorflow(**state: bytes) -> bytes:
    return p.named("tfutil", "Network") + p.EMPTY_TUPLE + p.NEWOBJ + p.dict_of(**state) + p.BUILD


def storage(kind: bytes, key: bytes, count: bytes) -> bytes:
    return p.tuple_of(p.text("storage"), kind, key, p.text("cpu"), count) + p.BINPERSID


FLOATS = p.named("torch", "FloatStorage")
PLACES = {
    "the file": p.pickled,
    "an entry": lambda odd: p.pickled(p.dict_of(a=odd)),
    "a network": lambda odd: p.pickled(p.dict_of(g_ema=odd)),
    "a table's key": lambda odd: p.pickled(p.EMPTY_DICT + odd + p.NONE + p.SETITEM),
    "a set": lambda odd: p.pickled(p.call(p.named("builtins", "set"), p.EMPTY_LIST + odd + p.APPEND)),
    "an array's shape": lambda odd: p.pickled(
        p.array((1,), b"\0" * 4).replace(p.tuple_of(p.number(1)), p.tuple_of(odd), 1)
    ),
    "an element type": lambda odd: p.pickled(p.call(p.named("numpy", "dtype"), odd, p.number(0), p.number(1))),
    "an encoding": lambda odd: p.pickled(p.call(p.named("_codecs", "encode"), p.text("a"), odd)),
    "a storage's type": lambda odd: p.legacy(storage(odd, p.text("0"), p.number(1))),
    "a storage's key": lambda odd: p.legacy(storage(FLOATS, odd, p.number(1))),
    "a storage's count": lambda odd: p.legacy(storage(FLOATS, p.text("0"), odd)),
    "a tensor's size": lambda odd: p.legacy(
        p.call(p.named("torch._utils", "_rebuild_tensor_v2"), storage(FLOATS, p.text("0"), p.number(1)), odd, odd, odd)
    ),
    "a torch stream's keys": lambda odd: p.legacy(p.NONE).replace(p.EMPTY_LIST, p.EMPTY_LIST + odd + p.APPEND),
    "a persistent id": lambda odd: p.legacy(odd + p.BINPERSID),
    "a module's class": lambda odd: p.pickled(
        modules(p.dict_of(type=p.text("class"), version=p.number(6), class_name=odd, state=p.EMPTY_DICT))
    ),
    "a module's version": lambda odd: p.pickled(modules(p.dict_of(type=p.text("class"), version=odd))),
    "a network's version": lambda odd: p.pickled(tensorflow(version=odd)),
    "a network's function": lambda odd: p.pickled(tensorflow(version=p.number(3), build_func_name=odd)),
    "a network's variables": lambda odd: p.pickled(tensorflow(version=p.number(3), variables=odd)),
    "a variable's name": lambda odd: p.pickled(
        tensorflow(version=p.number(3), variables=p.tuple_of(p.tuple_of(odd, p.array((1,), b"\0" * 4))))
    ),
}


@pytest.mark.parametrize("odd", [DOUBLED, DEEP, p.number(5)], ids=["doubled", "deep", "number"])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_nested_without_measure_is_refused_wherever_it_stands(place: str, odd: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.pkl").write_bytes(PLACES[place](odd))
    with pytest.raises(CheckpointError) as caught:
        sgkit.load(tmp_path / "file.pkl")
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
