"""One set of rules for every form of label file: what values mean, what is refused, and how names are matched."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sgkit.errors import ConfigError, InputError, SgkitError, UsageError
from sgkit.store.bad_images import BadImageError
from sgkit.store.header import LabelSchema
from sgkit.store.labels.files import parse_label_file
from sgkit.store.labels.matching import match_names
from sgkit.store.labels.values import KINDS, MAX_CLASSES, read_values
from sgkit.store.preparing.labelling import Labeller, make_labeller
from sgkit.store.sources import Source, open_source, open_sources
from tests.store.containers import container

NAMES = ("a.png", "b.png", "c.png")
Pairs = Sequence[tuple[str, Any]]


def folder_of(root: Path, names: Sequence[str] = NAMES) -> Path:
    """Files that are named as images; labels need no more."""
    for name in names:
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root / "images"


def labels(labeller: Labeller, source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index in range(len(source)):
        try:
            found[source[index].name] = labeller.label(0, source[index])
        except BadImageError:
            found[source[index].name] = None
    return found


def as_dataset_json(root: Path, pairs: Pairs) -> str:
    (root / "images" / "dataset.json").write_text(json.dumps({"labels": [list(pair) for pair in pairs]}))
    return "auto"


def as_csv(root: Path, pairs: Pairs) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("file", "label"), *((name, "" if v is None else v) for name, v in pairs)])
    (root / "labels.csv").write_text(buffer.getvalue())
    return str(root / "labels.csv")


def as_json_lines(root: Path, pairs: Pairs) -> str:
    (root / "labels.jsonl").write_text("".join(json.dumps({"file": n, "label": v}) + "\n" for n, v in pairs))
    return str(root / "labels.jsonl")


def as_parquet(root: Path, pairs: Pairs) -> str:
    """Labels beside the names in a table of images; the images are rows of the same order."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    column = [value for _, value in pairs]
    parquet.write_table(arrow.table({"image": [b"" for _ in column], "label": column}), root / "rows.parquet")
    return "auto"


FORMS = [as_dataset_json, as_csv, as_json_lines, as_parquet]
Form = Callable[[Path, Pairs], str]


def read(root: Path, values: Sequence[Any], form: Form, **options: Any) -> tuple[LabelSchema, list[Any], str]:
    folder = folder_of(root)
    choice = form(root, list(zip(NAMES, values, strict=True)))
    source = open_source(str(root / "rows.parquet" if form is as_parquet else folder), size=(8, 8))
    labeller = make_labeller(choice, [source], **options)
    return labeller.schema, list(labels(labeller, source).values()), " ".join(labeller.notes)


def schema(kind: str, *names: str) -> LabelSchema:
    return LabelSchema(kind=kind, names=names)  # type: ignore[arg-type]


ONE = schema("float", "label")
READ: dict[str, tuple[list[Any], LabelSchema, list[Any], str]] = {
    "numbers": ([0, 2, 1], schema("class", "0", "1", "2"), [0, 2, 1], ""),
    "numbers with a gap": ([4, 0, 4], schema("class", "0", "1", "2", "3", "4"), [4, 0, 4], ""),
    "fractions": ([0.2, 0.8, 0.5], ONE, [(0.2,), (0.8,), (0.5,)], ""),
    "ages": ([23.0, 45.0, 71.0], ONE, [(23.0,), (45.0,), (71.0,)], "read as numbers"),
    "classes as floats": ([0.0, 1.0, 2.0], schema("class", "0", "1", "2"), [0, 1, 2], "read as classes"),
    "classes as floats from 1": ([1.0, 2.0, 1.0], schema("class", "0", "1", "2"), [1, 2, 1], "read as classes"),
    "words": (["dog", "cat", "dog"], schema("class", "cat", "dog"), [1, 0, 1], ""),
    "spaces around words": (["b", " b", "a "], schema("class", "a", "b"), [1, 1, 0], "Spaces around 2 labels"),
    "two ways to write an accent": (["\u00e9", "e\u0301", "x"], schema("class", "x", "\u00e9"), [1, 1, 0], ""),
    "only letter case differs": (
        ["Cat", "cat", "cat"],
        schema("class", "Cat", "cat"),
        [0, 1, 1],
        "upper and lower case",
    ),
    "digits as text": (["2", "0", "0"], schema("class", "0", "1", "2"), [2, 0, 0], ""),
    "leading zeros": (["01", "10", "02"], schema("class", "01", "02", "10"), [0, 2, 1], ""),
    "unlabelled": ([-1, 1, 0], schema("class", "0", "1"), [None, 1, 0], "1 labels in"),
    "signs": ([-1, 1, 1], schema("class", "-1", "1"), [0, 1, 1], "-1 and 1"),
    "missing": ([None, 1, 0], schema("class", "0", "1"), [None, 1, 0], "1 of 3 images have no label"),
}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize(("values", "expected", "numbers", "note"), READ.values(), ids=READ)
def test_values_mean_the_same_in_every_form(
    tmp_path: Path, form: Form, values: list[Any], expected: LabelSchema, numbers: list[Any], note: str
) -> None:
    found, labelled, notes = read(tmp_path, values, form)
    assert (found, labelled) == (expected, numbers)
    assert note in notes


REFUSED: dict[str, tuple[list[Any], str]] = {
    "nan": ([0.5, float("nan"), 1.0], "has the label nan"),
    "infinity": ([0.5, float("inf"), 1.0], "has the label inf"),
    "minus infinity": ([float("-inf"), 0.5, 1.0], "has the label -inf"),
    "beyond 32 bits": ([0.5, 1e39, 1.0], "below 3.4e38"),
    "a huge class": ([0, 10**9, 1], "Class number 1000000000 .* go from 0 to 99,999"),
    "the first class too many": ([0, MAX_CLASSES, 1], "go from 0 to 99,999"),
    "exactly a 64-bit number": ([0, 2**62 + 1, 1], str(2**62 + 1)),
    "negative": ([0, -3, 1], "Class number -3"),
}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_values_are_refused_with_file_and_row(tmp_path: Path, form: Form, values: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, values, form)
    row = next(i for i, v in enumerate(values) if not 0 <= v < MAX_CLASSES)
    place = f"entry {row + 1} of" if form is as_dataset_json else f"row {row + 2 if form is as_csv else row + 1} of"
    assert place in str(caught.value).lower()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([0, 1, 2], "float", (ONE, [(0.0,), (1.0,), (2.0,)])),
        ([23.0, 45.0, 3.0], "class", (schema("class", *map(str, range(46))), [23, 45, 3])),
        ([0.5, 0.25, 0.5], "class", (schema("class", "0.25", "0.5"), [1, 0, 1])),
        ([[0, 1.0], [1, 0], [1, 0]], "class", (schema("class", "0", "1"), [1, 0, 0])),
        ([[0, 1.0], [1, 0], [1, 0]], "auto", (schema("float", "0", "1"), [(0.0, 1.0), (1.0, 0.0), (1.0, 0.0)])),
        ([[2], [0], [1]], "class", (schema("class", "0", "1", "2"), [2, 0, 1])),
        ([[0.5], [0], [1]], "auto", (schema("float", "0"), [(0.5,), (0.0,), (1.0,)])),
        ([["x", "y"], [], ["x"]], "auto", (schema("multi", "x", "y"), [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0)])),
        ([[True, False], [False, False], [True, True]], "auto", (schema("float", "0", "1"), [(1, 0), (0, 0), (1, 1)])),
        ([True, False, True], "auto", (schema("class", "false", "true"), [1, 0, 1])),
    ],
)
def test_the_kind_decides_how_the_datas_own_labels_are_read(
    tmp_path: Path, values: list[Any], kind: str, expected: tuple[LabelSchema, list[Any]]
) -> None:
    assert read(tmp_path, values, as_dataset_json, kind=kind)[:2] == expected


JSON_FORMS: dict[str, str] = {
    "object of names": '{"labels": {"a.png": 0, "b.png": 1, "c.png": 1}}',
    "names without labels around them": '{"a.png": 0, "b.png": 1, "c.png": 1}',
    "pairs without labels around them": '[["a.png", 0], ["b.png", 1], ["c.png", 1]]',
    "objects": '[{"file_name": "a.png", "y": 0}, {"file_name": "b.png", "y": 1}, {"file_name": "c.png", "y": 1}]',
    "broken over lines": '{\n"labels": [\n["a.png", 0],\n["b.png", 1],\n["c.png", 1]\n]}\n',
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", JSON_FORMS.values(), ids=JSON_FORMS)
def test_every_shape_of_json(tmp_path: Path, text: str, encoding: str) -> None:
    source = open_source(str(folder_of(tmp_path)), size=(8, 8))
    (tmp_path / "labels.json").write_bytes(text.encode(encoding))
    labeller = make_labeller(str(tmp_path / "labels.json"), [source])
    assert labels(labeller, source) == {"a.png": 0, "b.png": 1, "c.png": 1}


TABLES: dict[str, tuple[bytes, list[Any], str]] = {
    "no heading": (b"a.png,cat\nb.png,dog\nc.png,cat\n", [0, 1, 0], "no line of headings"),
    "no heading, ids": (b"a 5.5\nb 1\nc 2\n", [(5.5,), (1.0,), (2.0,)], "no line of headings"),
    "no heading, label first": (b"cat,x/a.png\ndog,x/b.png\n", [0, 1, None], "no line of headings"),
    "semicolons, decimal commas": (b"file;age\r\na.png;0,5\r\nb.png;1,25\r\n", [(0.5,), (1.25,), None], ""),
    "sep": (b"sep=|\nfile|y\na.png|u\nb.png|v\n", [0, 1, None], ""),
    "tabs": (b"file\ty\na.png\tone word\nb.png\tv\n", [0, 1, None], ""),
    "windows-1252": ("file,y\na.png,\u00e9t\u00e9\nb.png,hiver\n".encode("cp1252"), [1, 0, None], "Windows-1252"),
    "utf-16": ("file\ty\na.png\t\u00e9t\u00e9\nb.png\thiver\n".encode("utf-16"), [1, 0, None], ""),
    "utf-16 without a mark": ("file,y\na.png,u\nb.png,v\n".encode("utf-16-le"), [0, 1, None], ""),
    "pandas index": (b",file,y\n0,a.png,u\n1,b.png,v\n", [0, 1, None], ""),
    "capital heading": (b"y,Filename\nu,a.png\nv,b.png\n", [0, 1, None], ""),
    "quotes": (b'file,y\n"a.png","u, v"\n"b.png",w\n', [0, 1, None], ""),
    "repeated rows": (b"file,y\na.png,u\n./a.png,u\nb.png,v\n", [0, 1, None], "1 rows repeat"),
    "names not there": (b"file,y\na.png,u\nz.png,v\n", [0, None, None], "1 of 2 names in .* 'z.png'"),
    "true and false": (b"file,x,y\na.png,True,FALSE\nb.png,false,true\n", [(1.0, 0.0), (0.0, 1.0), None], ""),
    "an image called as a column": (b"file,a\na.png,u\nb.png,v\n", [0, 1, None], ""),
    "empty lines": (b"file,y\n\na.png,u\n,\nb.png,v\n", [0, 1, None], ""),
}


@pytest.mark.parametrize(("data", "expected", "note"), TABLES.values(), ids=TABLES)
def test_tables_as_programs_write_them(tmp_path: Path, data: bytes, expected: list[Any], note: str) -> None:
    source = open_source(str(folder_of(tmp_path)), size=(8, 8))
    (tmp_path / "t.csv").write_bytes(data)
    labeller = make_labeller(str(tmp_path / "t.csv"), [source])
    assert list(labels(labeller, source).values()) == expected
    assert re.search(note, " ".join(labeller.notes))


WRONG: dict[str, tuple[bytes, dict[str, Any], type[SgkitError], str]] = {
    "two labels": (b"file,y\na.png,u\n./a.png,v\n", {}, InputError, "row 2 of .* and row 3 of"),
    "two labels, json": (b'{"a.png": 0, "a.png": 1}', {}, InputError, "two labels for 'a.png': 0 and 1"),
    "no match": (b"file,y\nq.png,u\n", {}, InputError, "names 'q.png' .* named 'a.png'"),
    "words and fractions": (b"file,y\na.png,0.5\nb.png,n/a\n", {}, InputError, "row 3 of .* 'n/a', but row 2"),
    "commas in numbers": (b'file,y\na.png,"1,5"\nb.png,2\n', {}, InputError, "row 2 .* '1,5', where the comma may"),
    "words as floats": (b"file,y\na.png,0.5\nb.png,n/a\n", {"kind": "float"}, ConfigError, "row 3 .* not a number"),
    "word in one of two columns": (b"file,x,y\na.png,1,2\nb.png,1,u\n", {}, ConfigError, "'u' in column 'y', row 3"),
    "nan in one of two columns": (b"file,x,y\na.png,1,2\nb.png,1,nan\n", {}, InputError, "Row 3 of .* nan"),
    "class of two columns": (b"file,x,y\na.png,1,2\n", {"kind": "class"}, ConfigError, "needs one column"),
    "too many cells": (b"file,y\na.png,1\nb.png,1,2\n", {}, InputError, "Row 3 of .* has 3 cells"),
    "a number without end": (b"file,y\na.png,0.5\nb.png," + b"9" * 100_000 + b"x\n", {}, InputError, "mixes words"),
    "a field without end": (b"file,y\na.png," + b"9" * 200_000, {}, InputError, "cannot be read as a table"),
    "separators only": (b"sep=;\n;;\n", {}, InputError, "has no rows"),
    "nameless row": (b"file,y\na.png,1\n,2\n", {}, InputError, "Row 3 of .* names no image"),
    "column twice": (b"file,y,y\na.png,1,2\n", {}, InputError, "2 columns named 'y'"),
    "nul": (b"file,y\na.png,\0\n", {}, InputError, "not a text file"),
    "nothing": (b" \n", {}, InputError, "is empty"),
    "no values": (b"file,y\na.png,\n", {}, InputError, "holds no labels"),
    "json, comma at the end": (b'[["a.png", 0],]', {}, InputError, "not valid JSON"),
    "json, three in a pair": (b'[["a.png", 0, 1]]', {}, InputError, "Entry 1 of the labels"),
    "json, object as label": (b'{"a.png": {"y": 1}}', {}, InputError, "A label is a number, a word"),
    "json, lists of unlike length": (b'[["a.png", [1, 2]], ["b.png", [1]]]', {}, InputError, "different lengths"),
    "json, not one-hot": (b'[["a.png", [1, 1]]]', {"kind": "class"}, ConfigError, "vectors that are not one-hot"),
    "json, lists and numbers": (b'[["a.png", [1, 2]], ["b.png", 1]]', {}, InputError, "entry 2 of .* but entry 1"),
}


@pytest.mark.parametrize(("data", "options", "error", "message"), WRONG.values(), ids=WRONG)
def test_tables_that_cannot_be_trusted_are_refused(
    tmp_path: Path, data: bytes, options: dict[str, Any], error: type[SgkitError], message: str
) -> None:
    source = open_source(str(folder_of(tmp_path)), size=(8, 8))
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(error, match=message):
        make_labeller(str(tmp_path / "t.csv"), [source], **options)


PIECES = [*(bytes([byte]) for byte in b'[]{}",;\t\n\r\0\xff\\'), b"nan", b"inf", b"-1", b"1e400", b"9" * 50]
PIECES += [b"\xef\xbb\xbf", b"\xff\xfe", b"null", b"true", b"../", b"0.1", b"1,5", b"\\ud800", b"sep=", b"00"]


def test_a_thousand_damaged_files_are_read_or_refused() -> None:
    random = np.random.RandomState(0)
    files = [data for data, *_ in TABLES.values()] + [text.encode() for text in JSON_FORMS.values()]
    outcomes: Counter[str] = Counter()
    for _ in range(1000):
        data = bytearray(files[random.randint(len(files))])
        for _ in range(random.randint(1, 6)):
            place = random.randint(len(data) + 1)
            end = place + random.randint(8)
            change = random.randint(3)
            data[place : place if change == 0 else end] = PIECES[random.randint(len(PIECES))] if change < 2 else b""
        try:
            table = read_values(parse_label_file(bytes(data), where="labels"), kind=KINDS[random.randint(len(KINDS))])
        except SgkitError:
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        for label in table.labels.values():
            if isinstance(label, tuple):
                assert len(label) == table.schema.dim
                assert np.isfinite(np.array(label, np.float32)).all()
            else:
                assert 0 <= label < table.schema.dim
    assert min(outcomes["read"], outcomes["refused"]) > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choice": "none", "kind": "float"}, "--label-kind has no effect"),
        ({"choice": "folders", "kind": "class"}, "--label-kind has no effect"),
        ({"choice": "auto", "columns": ["y"]}, "--label-columns has no effect"),
        ({"choice": "auto", "kind": "class"}, "does not fit"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    source = open_source(str(folder_of(tmp_path)), size=(8, 8))
    with pytest.raises(UsageError, match=message):
        make_labeller(sources=[source], **options)


# ----------------------------------------------------------------------------------------------- names

FILES = ["cat/0.png", "cat/1.png", "dog/0.png", "dog/7.jpg"]


@pytest.mark.parametrize(
    ("entry", "file"),
    [
        ("cat/0.png", "cat/0.png"),
        ("./cat/0.png", "cat/0.png"),
        ("cat//0.png", "cat/0.png"),
        ("x/../cat/0.png", "cat/0.png"),
        (r"cat\0.png", "cat/0.png"),
        (r"C:\Users\me\cat\0.png", "cat/0.png"),
        ("/data/me/cat/0.png", "cat/0.png"),
        ("file:///data/cat/0.png", "cat/0.png"),
        ("CAT/0.PNG", "cat/0.png"),
        ("1.png", "cat/1.png"),
        ("other/1.png", "cat/1.png"),
        ("7", "dog/7.jpg"),
        ("7.png", "dog/7.jpg"),
        ("dog/7.tif", "dog/7.jpg"),
        ("0.png", None),
        ("0", None),
        ("bird/0.png", None),
        ("8", None),
    ],
)
def test_a_name_finds_its_file_where_it_can_mean_one(entry: str, file: str | None) -> None:
    found = match_names([entry], FILES)
    assert {FILES[number] for number in found.found} == ({file} if file else set())
    assert bool(found.ambiguous) == (entry in ("0.png", "0", "bird/0.png"))


def test_the_closest_name_wins_and_the_rest_is_shared_out() -> None:
    entries, files = ["d/a.png", "a.png", "b"], ["d/a.png", "e/a.png", "e/b.webp", "c.png"]
    assert match_names(entries, files).found == {0: 0, 1: 1, 2: 2}
    nested = match_names(["cat/0.png", "x/cat/0.png"], ["top/x/cat/0.png", "top/cat/0.png"])
    assert nested.found == {0: 1, 1: 0}
    assert match_names(["a.png", "A.png"], ["x/a.PNG"]).found == {}  # two entries for one file


def test_ambiguous_names_are_told(tmp_path: Path) -> None:
    source = open_source(str(folder_of(tmp_path, ["x/a.png", "y/a.png", "y/b.png"])), size=(8, 8))
    choice = as_csv(tmp_path, [("a.png", 0), ("b.png", 1)])
    labeller = make_labeller(choice, [source])
    assert labels(labeller, source) == {"x/a.png": None, "y/a.png": None, "y/b.png": 1}
    assert "'a.png' could be 'x/a.png', 'y/a.png'" in " ".join(labeller.notes)


# --------------------------------------------------------------------------------- containers, folders


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    ("members", "labelled"),
    [
        (["a.png", "b.png"], {"": ["a.png", "b.png"]}),
        (["top/a.png", "top/b.png"], {"top/": ["a.png", "b.png"]}),
        (["top/a.png", "top/b.png"], {"": ["a.png", "b.png"]}),
        (["x/a.png", "y/a.png"], {"x/": ["a.png"], "y/": ["", "a.png"]}),
        (["a.png", "b.png", "__MACOSX/dataset.json"], {"": ["a.png", "b.png"]}),
    ],
    ids=["root", "top folder", "names below a top folder", "one in each folder", "beside the system's"],
)
def test_dataset_json_is_found_where_it_is(
    tmp_path: Path, kind: str, members: list[str], labelled: dict[str, list[str]]
) -> None:
    files = dict.fromkeys(members, b"?") | {
        f"{folder}dataset.json": json.dumps({"labels": [[n, i] for i, n in enumerate(names)]}).encode()
        for folder, names in labelled.items()
    }
    source = open_source(str(container(tmp_path, files, kind)), size=(8, 8))
    labeller = make_labeller("auto", [source])
    assert list(labels(labeller, source).values()) == [0, 1]
    assert "Labels were read from" in labeller.notes[0]
    assert make_labeller("none", [source]).schema.kind == "none"


def test_several_folders_are_a_class_each(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        folder_of(tmp_path / name)
        (tmp_path / name / "images").rename(tmp_path / name / name)
    given = [str(tmp_path / name / name) for name in ("cats", "dogs")]
    sources = open_sources(given, size=(8, 8))
    labeller = make_labeller("folders", sources)
    assert labeller.schema == schema("class", "cats", "dogs")
    assert [labeller.label(number, source[0]) for number, source in enumerate(sources)] == [0, 1]
    files = [f"{folder}/{name}" for folder in given for name in NAMES]
    (shell,) = open_sources(files, size=(8, 8))
    assert list(labels(make_labeller("folders", [shell]), shell).values()) == [0, 0, 0, 1, 1, 1]
    with pytest.raises(InputError, match="give a folder for each class"):
        make_labeller("folders", sources[:1])


def test_folders_whose_names_are_not_utf8_are_classes_with_printable_names(tmp_path: Path) -> None:
    names = ["caf\udce9/a.png", "th\u00e9/b.png", "caf\udce8/c.png"]
    try:
        source = open_source(str(folder_of(tmp_path, names)), size=(8, 8))
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 only")
    labeller = make_labeller("folders", [source])
    assert labeller.schema.names == (r"caf\xe8", r"caf\xe9", "th\u00e9")
    assert labels(labeller, source) == {names[0]: 1, names[1]: 2, names[2]: 0}
