from __future__ import annotations

import json
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import sgkit
from sgkit.checkpoint.foreign import read_foreign, read_stream
from sgkit.checkpoint.source_text import reached_by
from sgkit.errors import CheckpointError, InputError
from sgkit.unpickle.budget import Budget
from sgkit.unpickle.torch_files import read_pickle
from sgkit.unpickle.unpickler import Unpickler
from tests.unpickle import pickles as p

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parent / "fixtures"


def nested(stream: bytes) -> bytes:
    return p.call(p.named("torch.storage", "_load_from_bytes"), p.raw(stream))


def read(path: Path, data: bytes) -> object:
    path.write_bytes(data)
    return read_stream(path)


# ---------------------------------------------------------------------------------------------- hostile


HOSTILE = {
    "os_system.pkl": ["posix.system"],
    "torch_zip.pt": ["posix.system"],
    "torch_legacy.pt": ["posix.system"],
    "nested_storage.pkl": ["posix.system"],
    "getattr_chain.pkl": ["builtins.getattr", "builtins.__import__"],
    "dotted_name.pkl": ["torch._utils.os.system"],
    "object_array.pkl": ["a NumPy array of Python objects", "posix.system"],
    "object_array.npz": ["a NumPy array of Python objects", "posix.system"],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_all_that_it_tried_to_reach(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"refused, and nothing of it was run\. It tries to reach") as caught:
        sgkit.load(FIXTURES / "malicious" / name)
    for reached in HOSTILE[name]:
        assert reached in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["module_src.pkl", "build_module_src.pkl"])
def test_embedded_source_is_never_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"The Python text in it, which was not run, calls .*os\.system"):
        sgkit.load(FIXTURES / "malicious" / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("import os\nos.system('x')\nos.system('y')", ("os.system",)),
        ("from os import system as s\ndef f():\n    s('x')", ("os.system",)),
        ("import urllib.request as u\nu.urlopen('x')", ("urllib.request.urlopen",)),
        ("__import__('os').system('x')", ("__import__.system", "__import__")),
        ("exec('x'); eval('y')", ("exec", "eval")),
        ("import torch\nimport numpy as np\nnp.sqrt(torch.ones(1))", ()),
        ("this is no Python", ()),
        ("(" * 100_000, ()),
        ("x\0", ()),
        ("import os\n" + "#" * 300_000 + "\nos.system('x')", ()),
    ],
)
def test_what_embedded_source_would_reach_is_found_by_parsing(source: str, calls: tuple[str, ...]) -> None:
    assert reached_by(source) == calls


def test_every_hostile_fixture_has_a_test() -> None:
    listed = json.loads((FIXTURES / "malicious" / "case.json").read_text())["files"]
    assert set(listed) == {*HOSTILE, "module_src.pkl", "build_module_src.pkl"}


@pytest.mark.parametrize(
    "form",
    [
        lambda module: p.pickled(p.call(p.named(module, "run"))),
        lambda module: p.pickled(p.text(module) + p.text("run") + b"\x93" + p.EMPTY_TUPLE + p.NEWOBJ),
        lambda module: p.pickled(p.MARK + b"i" + f"{module}\nrun\n".encode()),
        lambda module: p.legacy(p.call(p.named(module, "run"))),
        lambda module: p.pickled(
            p.call(p.named("torch.storage", "_load_from_bytes"), p.raw(p.legacy(p.named(module, "run"))))
        ),
        lambda module: f"c{module}\nrun\n(tR.".encode(),
    ],
)
def test_a_module_named_by_a_file_is_never_imported(form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "left_a_trace.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError, match=r"left_a_trace\.run|the pickle opcode INST"):
        read(tmp_path / "file.pkl", form("left_a_trace"))
    assert "left_a_trace" not in sys.modules


def test_names_are_shown_escaped(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path / "file.pkl", p.pickled(p.text("a\x1b[31m") + p.text("b" * 500) + b"\x93"))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_storage_type_cannot_be_called(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"torch\.FloatStorage, called as a function"):
        read(tmp_path / "file.pkl", p.pickled(p.call(p.named("torch", "FloatStorage"), p.number(10**12))))


# ------------------------------------------------------------------------------------------------ limits


LIMITS = {
    "a tensor of a billion elements in a small file": (
        p.legacy(p.tensor((10**9,), (1,), count=10**9), {"0": b"\0" * 64}),
        "announces 1000000000 elements, its data 16",
    ),
    "a tensor that repeats one element a billion times": (
        p.legacy(p.tensor((10**9,), (0,), count=1), {"0": b"\0" * 4}),
        "reaches outside its storage of 1 elements",
    ),
    "a tensor that reaches behind its storage": (
        p.legacy(p.tensor((2, 2), (3, 1), count=4), {"0": b"\0" * 16}),
        r"size \[2, 2\], stride \[3, 1\], offset 0 reaches outside",
    ),
    "a tensor with an offset behind its storage": (
        p.legacy(p.tensor((1,), (1,), count=4, offset=4), {"0": b"\0" * 16}),
        "offset 4 reaches outside",
    ),
    "a tensor with a negative stride": (
        p.legacy(p.tensor((2,), (-1,), count=4, offset=3), {"0": b"\0" * 16}),
        "is not the stride of a tensor",
    ),
    "a tensor of ten axes": (
        p.legacy(p.tensor((1,) * 10, (1,) * 10, count=4), {"0": b"\0" * 16}),
        "is not the shape of an array",
    ),
    "a storage whose data is cut short": (
        p.legacy(p.tensor((4,), (1,), count=4), {"0": b"\0" * 16})[:-5],
        "cut short",
    ),
    "a storage that is described in two ways": (
        p.legacy(p.tensor((1,), (1,), count=4) + b"0" + p.tensor((1,), (1,), count=8), {"0": b"\0" * 16}),
        "described in two ways",
    ),
    "a storage without data": (p.legacy(p.tensor((4,), (1,), count=4)), "lists other storages than its object uses"),
    "a storage of an odd type": (
        p.legacy(p.tensor((4,), (1,), count=4, kind="QInt8Storage"), {"0": b"\0" * 16}),
        r"torch\.QInt8Storage",
    ),
    "an array of a billion elements in a small file": (
        p.pickled(p.array((10**9,), b"\0" * 16)),
        r"claims shape \[1000000000\] of float32, but 16 bytes are there",
    ),
    "an array whose size overflows": (p.pickled(p.array((2**62, 4), b"")), "is not the shape of an array"),
    "an array of records": (p.pickled(p.array((1,), b"\0" * 8, code="V8")), "a NumPy array of an odd type"),
    "a byte string longer than the file": (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"." * 8, "cut short"),
    "a text longer than the file": (b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"." * 8, "cut short"),
    "a frame longer than the file": (
        b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"N." * 8,
        "reaches past the end",
    ),
    "a number of a megabyte": (
        b"\x80\x04\x8b" + (2**20).to_bytes(4, "little") + b"\1" * 2**20 + b".",
        "whole number of",
    ),
    "a thousand open marks": (p.pickled(p.MARK * 1000), "nested deeper than 256 levels"),
    "streams within streams within streams": (
        p.pickled(nested(p.legacy(nested(p.legacy(p.NONE))))),
        "nests torch streams inside torch streams",
    ),
    "a table with keys of crafted hashes": (
        p.pickled(p.EMPTY_DICT + b"G" + b"\0" * 8 + p.NONE + p.SETITEM),
        "key of type float",
    ),
    "a persistent id outside of a torch file": (p.pickled(p.text("0") + p.BINPERSID), "only torch files may"),
    "an opcode that no checkpoint uses": (p.pickled(b"\x82\x01"), r"uses pickle opcode '\\x82' at byte 16"),
    "a pickle of protocol 9": (b"\x80\x09" + b"N." * 8, "claims pickle protocol 9"),
    "too few items": (p.pickled(p.NONE + p.REDUCE + p.NONE * 16), "too few items"),
    "a memo that was never written": (p.pickled(p.get(7) + p.NONE * 16), "damaged near byte"),
    "a call of a plain value": (p.pickled(p.NONE + p.EMPTY_TUPLE + p.REDUCE + p.NONE * 16), "a plain value is called"),
    "text that is no text": (p.pickled(b"X\x04\0\0\0\xff\xff\xff\xff" + p.NONE * 16), "damaged near byte"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_the_reader_refuses(case: str, tmp_path: Path) -> None:
    data, message = LIMITS[case]
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path / "file.pt", data)


def test_a_memo_index_of_four_billion_costs_nothing(tmp_path: Path) -> None:
    assert (
        read(tmp_path / "file.pkl", p.pickled(p.text("a text of some length") + p.put(2**32 - 1)))
        == "a text of some length"
    )


def test_the_number_of_items_is_limited() -> None:
    with pytest.raises(CheckpointError, match="more than 1,000 items; no checkpoint needs that many"):
        read_pickle(memoryview(p.pickled(b"N0" * 600 + p.NONE)), Budget(steps=1000))


def persistent(state: bytes, *, name: str = "Generator", version: int = 6) -> bytes:
    meta = p.dict_of(type=p.text("class"), version=p.number(version), class_name=p.text(name), state=state)
    return p.call(p.named("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)


def test_modules_that_contain_themselves_are_refused(tmp_path: Path) -> None:
    children = p.EMPTY_DICT + p.put(0)
    module = persistent(p.dict_of(_modules=children)) + p.put(1)
    body = module + p.get(0) + p.text("again") + p.get(1) + p.SETITEM + b"0"
    (tmp_path / "file.pkl").write_bytes(p.pickled(body))
    with pytest.raises(CheckpointError, match="contain each other endlessly"):
        read_foreign(tmp_path / "file.pkl")


def test_options_that_contain_themselves_are_refused(tmp_path: Path) -> None:
    options = p.EMPTY_DICT + p.put(0) + p.text("again") + p.get(0) + p.SETITEM
    (tmp_path / "file.pkl").write_bytes(p.pickled(persistent(p.dict_of(_init_kwargs=options))))
    with pytest.raises(CheckpointError, match="nested endlessly"):
        read_foreign(tmp_path / "file.pkl")


def test_options_that_double_at_every_level_are_refused(tmp_path: Path) -> None:
    body = p.EMPTY_LIST + p.put(0)
    for level in range(22):
        body += b"0" + p.EMPTY_LIST + (p.get(level) + p.APPEND) * 2 + p.put(level + 1)
    body += b"0" + persistent(p.dict_of(_init_kwargs=p.dict_of(a=p.get(22))))
    (tmp_path / "file.pkl").write_bytes(p.pickled(body))
    with pytest.raises(CheckpointError, match="more than 75,000 items"):
        read_foreign(tmp_path / "file.pkl")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (persistent(p.EMPTY_DICT, version=5), "persistence version 5; version 6 is known"),
        (persistent(p.dict_of(_init_args=p.tuple_of(p.number(3)))), "positional arguments"),
        (persistent(p.dict_of(_modules=p.dict_of(a=p.text("no module")))), "not of the layout"),
        (p.dict_of(weights=p.EMPTY_LIST), "holds no network of a known project. Its entries are .*weights"),
        (p.number(3), "holds a value of type int where networks are expected"),
        (p.tuple_of(p.named("tfutil", "Network") + p.EMPTY_TUPLE + p.NEWOBJ), "network Gs is damaged"),
    ],
)
def test_a_file_without_known_networks_says_what_it_holds(body: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file.pkl").write_bytes(p.pickled(body))
    with pytest.raises(CheckpointError, match=message):
        read_foreign(tmp_path / "file.pkl")


# ---------------------------------------------------------------------------------------------- archives


def test_a_torch_archive_is_read(tmp_path: Path) -> None:
    values = np.arange(4, dtype=np.float32)
    members = {"a/data.pkl": p.pickled(p.tensor((2, 2), (1, 2), count=4)), "a/data/0": values.tobytes()}
    loaded = read_stream(p.archive(tmp_path / "file.pt", members))
    assert loaded.array().tolist() == [[0, 2], [1, 3]]


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    data = np.array([0x3F80, 0xC000], np.uint16).tobytes()
    body = p.tensor((2,), (1,), count=2, kind="BFloat16Storage")
    loaded = read(tmp_path / "file.pt", p.legacy(body, {"0": data}, itemsize=2))
    assert loaded.array().tolist() == [1.0, -2.0]


GOOD = {"a/data.pkl": p.pickled(p.tensor((4,), (1,), count=4)), "a/data/0": b"\0" * 16}
ARCHIVES = {
    "no pickle": ({"a/other": b"\0" * 99}, "0 members are named data.pkl"),
    "two pickles": ({**GOOD, "b/data.pkl": b"\0" * 9}, "2 members are named data.pkl"),
    "missing data": ({"a/data.pkl": GOOD["a/data.pkl"]}, "no data for torch storage '0'"),
    "too little data": ({**GOOD, "a/data/0": b"\0" * 15}, "needs 16 bytes, but 15 are there"),
    "too much data": ({**GOOD, "a/data/0": b"\0" * 17}, "needs 16 bytes, but 17 are there"),
    "a name that climbs": ({**GOOD, "a/../../x": b"\0"}, "unsafe name: 'a/../../x'"),
    "an absolute name": ({**GOOD, "/etc/x": b"\0"}, "unsafe name"),
    "big-endian data": ({**GOOD, "a/byteorder": b"big"}, "big-endian"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_the_reader_refuses_an_archive_with(case: str, tmp_path: Path) -> None:
    members, message = ARCHIVES[case]
    with pytest.raises(CheckpointError, match=message):
        read_stream(p.archive(tmp_path / "file.pt", members))


def test_a_zip_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    bomb = {"a/data.pkl": p.pickled(p.NONE), "a/data/0": b"\0" * 10_000_000}
    path = p.archive(tmp_path / "file.pt", bomb, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(CheckpointError, match=r"is compressed \(\d+ bytes claim to be 18\)"):
        read_stream(path)


def test_a_name_that_stands_twice_in_an_archive_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "file.pt", "w") as file:
        warnings.simplefilter("ignore")
        for _ in range(2):
            file.writestr("a/data.pkl", GOOD["a/data.pkl"])
    with pytest.raises(CheckpointError, match=r"holds 'a/data\.pkl' twice"):
        read_stream(tmp_path / "file.pt")


def test_a_member_that_is_not_where_the_index_says_is_refused(tmp_path: Path) -> None:
    path = p.archive(tmp_path / "file.pt", GOOD)
    data = path.read_bytes()
    index = data.index(b"PK\x01\x02")
    path.write_bytes(data[: index + 42] + (5).to_bytes(4, "little") + data[index + 46 :])
    with pytest.raises(CheckpointError, match="is not where its index says"):
        read_stream(path)


# -------------------------------------------------------------------------------------- damaged, foreign


@pytest.mark.parametrize("case", ["ada_filter_edge16", "tf_pg_unfused_cond16", "rosi_sg2_converted32", "rosi_sg1_32"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.999])
def test_a_file_that_is_cut_short_is_refused(case: str, share: float, tmp_path: Path) -> None:
    source = next(f for f in sorted((FIXTURES / case).iterdir()) if f.suffix in (".pkl", ".pt", ".model"))
    data = source.read_bytes()
    (tmp_path / source.name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match="Cannot read checkpoint"):
        sgkit.load(tmp_path / source.name)


@pytest.mark.parametrize("start", [b"\x89PNG\r\n\x1a\n", b"hello, this is a text", b"\0" * 64, b"GIF89a" * 20])
def test_a_file_of_another_kind_says_so(start: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"its first bytes are '[0-9a-f ]+', which starts neither a pickle"):
        read(tmp_path / "file.pkl", start + b" " * 40)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no checkpoint"):
        read_foreign(tmp_path / "nothing.pkl")


def test_reading_copies_no_tensor_data() -> None:
    data = memoryview(p.pickled(p.raw(b"x" * 1000)))
    taken = Unpickler(data, find=lambda module, name: None, budget=Budget()).run()
    assert isinstance(taken, memoryview)
    assert taken.obj is data.obj


@pytest.mark.parametrize(("case", "name"), [("luci_32", "model_3.pt"), ("luci_attn_noconst16", "model_3.pt")])
def test_lucidrains_files_are_refused_by_name(case: str, name: str) -> None:
    with pytest.raises(CheckpointError, match="lucidrains' networks are a different architecture"):
        sgkit.load(FIXTURES / case / name)
