from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sgkit.errors import ConfigError, InputError
from sgkit.store import StoreDataset, StoreReader
from sgkit.store.header import LabelSchema
from sgkit.store.preparing.labelling import make_labeller, read_label_table
from sgkit.store.records import label_bytes, label_vector
from sgkit.store.sources import open_source
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import header_of

CLASSES = LabelSchema(kind="class", names=("cat", "dog"))


def table(folder: Path, text: str, suffix: str = ".csv", **options: object) -> tuple[LabelSchema, dict[str, object]]:
    path = folder / f"labels{suffix}"
    path.write_text(text)
    found = read_label_table(path, **options)  # type: ignore[arg-type]
    return found.schema, dict(found.labels)


def schema(kind: str, *names: str) -> LabelSchema:
    return LabelSchema(kind=kind, names=names)  # type: ignore[arg-type]


CELEBA = "2\nSmiling Young Bald\n000001.jpg  1 -1 -1\n000002.jpg -1  1 -1\n"
TAGS = '{"name": "a", "tags": ["x", "y"]}\n{"name": "b", "tags": []}\n'
VECTORS = '{"name": "a", "v": [1, 2.5]}\n{"name": "b", "v": [0, 1]}\n'
TABLES: list[tuple[str, str, dict[str, object], LabelSchema, dict[str, object]]] = [
    (".csv", "file,class\na.png,dog\nb.png,cat\n", {}, CLASSES, {"a.png": 1, "b.png": 0}),
    (".tsv", "class\tfile\ndog\ta.png\ncat\tb.png\n", {}, CLASSES, {"a.png": 1, "b.png": 0}),
    (".jsonl", '{"file": "a", "y": "dog"}\n{"file": "b", "y": "cat"}\n', {}, CLASSES, {"a": 1, "b": 0}),
    (".txt", "2\nname class\na.png dog\nb.png cat\n", {}, CLASSES, {"a.png": 1, "b.png": 0}),
    (".csv", "name,label\na,10\nb,2\n", {}, schema("class", *map(str, range(11))), {"a": 10, "b": 2}),
    (".csv", "name,age,size\na,10,0.5\nb,2,1\n", {}, schema("float", "age", "size"), {"a": (10, 0.5), "b": (2, 1)}),
    (".csv", "name,age\na,1.5\nb,2\n", {}, schema("float", "age"), {"a": (1.5,), "b": (2,)}),
    (".csv", "name,age\na,1\nb,2\n", {"kind": "float"}, schema("float", "age"), {"a": (1,), "b": (2,)}),
    (
        ".txt",
        CELEBA,
        {"columns": ["Young", "Smiling"]},
        schema("multi", "Young", "Smiling"),
        {"000001.jpg": (0, 1), "000002.jpg": (1, 0)},
    ),
    (".jsonl", TAGS, {}, schema("multi", "x", "y"), {"a": (1, 1), "b": (0, 0)}),
    (".jsonl", VECTORS, {}, schema("float", "0", "1"), {"a": (1, 2.5), "b": (0, 1)}),
    (".csv", "name,class\na,cat\nb,\nc,dog\n", {}, CLASSES, {"a": 0, "c": 1}),
    (".csv", "name,x,y\na,1.5,2\nb,,1\n", {}, schema("float", "x", "y"), {"a": (1.5, 2)}),
]


@pytest.mark.parametrize(("suffix", "text", "options", "expected", "labels"), TABLES)
def test_tables_become_labels(
    tmp_path: Path, suffix: str, text: str, options: dict[str, object], expected: LabelSchema, labels: dict[str, object]
) -> None:
    assert table(tmp_path, text, suffix, **options) == (expected, labels)


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("", {}, InputError, "line of headings"),
        ("name\na\n", {}, InputError, "no column beside the names"),
        ("name,size\na,1\n", {"columns": ["siez"]}, ConfigError, "Did you mean 'size'"),
        ("name,x,y\na,cat,dog\n", {}, ConfigError, "--label-kind class"),
        ("name,x,y\na,1,3\n", {"kind": "multi"}, ConfigError, "holds 3"),
    ],
)
def test_wrong_tables_say_what_is_wrong(
    tmp_path: Path, text: str, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        table(tmp_path, text, **options)


def test_folders_are_classes(picture_folder: Path) -> None:
    source = open_source(str(picture_folder), size=(8, 8))
    labeller = make_labeller("folders", [source])
    assert labeller.schema == LabelSchema(kind="class", names=("even", "odd"))
    assert [labeller.label(0, source[index]) for index in (0, 12)] == [0, 1]
    one = open_source(str(picture_folder / "odd"), size=(8, 8))
    with pytest.raises(InputError, match="two or more folders"):
        make_labeller("folders", [one])


def test_sources_must_agree_on_their_own_labels(picture_folder: Path) -> None:
    plain = open_source(str(picture_folder), size=(8, 8))
    seasons = open_source("sample:landscapes?labels=season&count=2", size=(8, 8))
    with pytest.raises(InputError, match="different labels"):
        make_labeller("auto", [plain, seasons])
    with pytest.raises(ConfigError, match="CSV, TSV, JSON or JSON lines"):
        make_labeller("foldres", [plain])
    with pytest.raises(ConfigError, match="Did you mean 'multi'"):
        make_labeller("none", [plain], kind="mutli")


@pytest.mark.parametrize(
    ("kind", "label", "vector"),
    [
        (CLASSES, 1, [0, 1]),
        (schema("multi", "a", "b", "c"), (1, 0, 1), [1, 0, 1]),
        (schema("float", "a", "b"), (0.25, -3), [0.25, -3]),
        (LabelSchema(), None, []),
    ],
)
def test_labels_are_stored_and_read(kind: LabelSchema, label: object, vector: list[float]) -> None:
    data = label_bytes(kind, label)  # type: ignore[arg-type]
    np.testing.assert_array_equal(label_vector(kind, data or None), np.array(vector, np.float32))


def test_a_table_labels_a_store_and_what_it_lacks_is_left_out(picture_folder: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"name": f"{i:02d}", "age": i + 0.5, "tall": i % 3}) for i in range(12)]
    (tmp_path / "l.jsonl").write_text("\n".join(lines))
    options = PrepareOptions(size=(8, 8), labels=str(tmp_path / "l.jsonl"), label_columns=("age",))
    header = header_of(prepare(picture_folder, tmp_path / "store", options=options))
    assert (header.labels, header.skipped) == (LabelSchema(kind="float", names=("age",)), {"no label": 1})
    dataset, reader = StoreDataset(tmp_path / "store"), StoreReader(tmp_path / "store")
    for index in range(12):
        assert dataset[index][1].tolist() == [float(reader.meta(index)["name"].split("/")[1][:2]) + 0.5]


def test_a_store_keeps_the_labels_of_the_store_it_is_made_from(store_path: Path, tmp_path: Path) -> None:
    header = header_of(prepare(store_path, tmp_path / "again", options=PrepareOptions(size=(4, 4))))
    assert header.labels.names == ("even", "odd")
    assert StoreDataset(tmp_path / "again")[12][1].tolist() == [0, 1]


def test_a_table_with_more_rows_than_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGKIT_MAX_FILE_SIZE", "100KiB")
    with pytest.raises(InputError, match=r"labels.csv has 1,002 rows; .* SGKIT_MAX_FILE_SIZE"):
        table(tmp_path, "file,class\n" + "a,1\n" * 1000)


def test_a_long_table_is_split_like_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgkit.store.labels.files.AT_ONCE", 7)
    text = 'file,class\r\na.png,"one\r\nline"\n\nb.png,two\u2028c.png,three'
    assert table(tmp_path, text)[1] == {"a.png": 0, "b.png": 2, "c.png": 1}
    with pytest.raises(InputError, match=r"Row 5 of .* names no image"):
        table(tmp_path, "file,class\na,1\nb,2\nc,3\n,4\n")
