from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from sgkit.errors import ConfigError, InputError, StoreError, UsageError
from sgkit.store.bad_images import BadImageError
from sgkit.store.header import LabelSchema
from sgkit.store.landscapes.sample import hour_name
from sgkit.store.preparing.labelling import Labeller, make_labeller
from sgkit.store.sources import Item, Label, Source, open_source
from sgkit.store.sources.zips import open_zip
from tests.store.containers import container, flat
from tests.unpickle import pickles as p

SIZE = (8, 8)


def png(value: int) -> bytes:
    return flat(value, size=(6, 4))


NAMES = ["b/2.png", "a/1.png", "a/10.PNG"]
SORTED = ["a/1.png", "a/10.PNG", "b/2.png"]


def value_of(source: Source, index: int) -> int:
    payload = source.reader().read(source[index])
    picture = Image.open(io.BytesIO(payload)) if isinstance(payload, bytes) else Image.fromarray(payload)
    return int(np.asarray(picture)[0, 0, 0])


def label_of(labeller: Labeller, item: Item) -> Label:
    try:
        return labeller.label(0, item)
    except BadImageError:
        return None


def items(source: Source) -> list[Item]:
    return [source[index] for index in range(len(source))]


FILES = {name: png(value) for value, name in enumerate(NAMES)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return container(tmp_path, {**FILES, "notes.txt": b"no picture", ".hidden.png": png(9)})


def check_three(source: Source, names: list[str], values: list[int]) -> None:
    assert [item.name for item in items(source)] == names
    assert [value_of(pickle.loads(pickle.dumps(source)), index) for index in range(3)] == values


def test_a_folder_is_searched_to_its_depths_in_sorted_order(folder: Path) -> None:
    (folder / "a" / "loop").symlink_to(folder)
    source = open_source(str(folder), size=SIZE)
    check_three(source, SORTED, [1, 2, 0])
    assert source.kind == "folder"
    assert list(source.folders()) == ["a", "a", "b"]


def test_a_zip_is_read_in_sorted_order(tmp_path: Path) -> None:
    source = open_source(str(container(tmp_path, {f"top/{n}": data for n, data in FILES.items()}, "zip")), size=SIZE)
    check_three(source, [f"top/{name}" for name in SORTED], [1, 2, 0])
    assert list(source.folders()) == ["a", "a", "b"]


def test_a_forked_process_opens_the_archive_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = open_source(str(container(tmp_path, FILES, "zip")), size=SIZE).reader()
    opened = reader.opened(open_zip)
    assert reader.opened(open_zip) is opened
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert reader.opened(open_zip) is not opened


@pytest.mark.parametrize("first", [{}, {"BZh.txt": b"not bzip2"}])
def test_a_tar_is_read_in_its_own_order(tmp_path: Path, first: dict[str, bytes]) -> None:
    source = open_source(str(container(tmp_path, first | FILES, "tar")), size=SIZE)
    check_three(source, NAMES, [0, 1, 2])
    assert not source.streamed


@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "tar.xz"])
def test_a_compressed_tar_is_streamed(tmp_path: Path, ending: str) -> None:
    source = open_source(str(container(tmp_path, FILES, ending)), size=SIZE)
    assert source.streamed
    assert [item.name for item in items(source)] == NAMES
    assert [(item.name, item.payload) for item in source.stream(1)] == list(FILES.items())[1:]


def test_a_list_names_files_in_its_order(folder: Path) -> None:
    (folder / "list.txt").write_text("# mine\nb/2.png\n\na/1.png\na/10.PNG\n")
    check_three(open_source(str(folder / "list.txt"), size=SIZE), ["b/2.png", "a/1.png", "a/10.PNG"], [0, 1, 2])


def test_lsun_is_read_by_keys(tmp_path: Path) -> None:
    with (
        lmdb.open(str(tmp_path / "bedroom_lmdb"), map_size=1 << 20) as environment,
        environment.begin(write=True) as txn,
    ):
        for value, key in enumerate((b"cc", b"aa", b"bb")):
            txn.put(key, png(value))
    source = open_source(str(tmp_path / "bedroom_lmdb"), size=SIZE)
    check_three(source, ["aa", "bb", "cc"], [1, 2, 0])
    assert source.kind == "lsun"


def test_rosinalitys_largest_size_is_read_in_order(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "set"), map_size=1 << 20) as environment, environment.begin(write=True) as txn:
        for index in range(3):
            txn.put(f"64-{index:05d}".encode(), png(100 + index))
            txn.put(f"256-{index:05d}".encode(), png(index))
        txn.put(b"length", b"3")
    source = open_source(str(tmp_path / "set"), size=SIZE)
    check_three(source, ["256-00000", "256-00001", "256-00002"], [0, 1, 2])
    assert "3 records" in source.notes[0]
    assert source.kind == "rosinality"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("labels", "schema", "expected"),
    [
        ([["a/1.png", 2], ["b/2.png", 0]], LabelSchema(kind="class", names=("0", "1", "2")), [2, None, 0]),
        (
            [["a/1.png", [0.5, 1]], ["b/2.png", [2, -1]]],
            LabelSchema(kind="float", names=("0", "1")),
            [(0.5, 1.0), None, (2.0, -1.0)],
        ),
        (None, LabelSchema(), [None, None, None]),
    ],
    ids=["classes", "floats", "null"],
)
def test_nvidias_labels_are_found(
    tmp_path: Path, packed: bool, labels: object, schema: LabelSchema, expected: list[object]
) -> None:
    files = {**FILES, "dataset.json": json.dumps({"labels": labels}).encode()}
    source = open_source(str(container(tmp_path, files, "zip" if packed else "folder")), size=SIZE)
    labeller = make_labeller("auto", [source])
    assert labeller.schema == schema
    assert [label_of(labeller, item) for item in items(source)] == expected


@pytest.mark.parametrize("text", ["[1", '{"labels": [["a", 1], ["b", [1]]]}', '{"labels": [["a"]]}'])
def test_a_broken_dataset_json_is_an_error(folder: Path, text: str) -> None:
    (folder / "dataset.json").write_text(text)
    source = open_source(str(folder), size=SIZE)
    with pytest.raises(InputError, match=r"dataset\.json"):
        make_labeller("auto", [source])
    assert make_labeller("none", [source]).schema.kind == "none"


CIFAR = np.random.RandomState(0).randint(0, 256, (4, 3072)).astype(np.uint8)


@pytest.fixture(params=["python", "binary", "folder"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "binary":
        files = {"data_batch_1.bin": b"".join(bytes([label]) + row.tobytes() for label, row in enumerate(CIFAR, 3))}
    else:
        batch = {b"data": CIFAR, b"labels": [3, 4, 5, 6], b"filenames": [b"x"] * 4}
        files = {"data_batch_1": pickle.dumps(batch, protocol=2), "batches.meta": b"?"}
    folder = tmp_path / "cifar-10-batches"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    if request.param == "folder":
        return folder
    with tarfile.open(tmp_path / "cifar-10.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    return tmp_path / "cifar-10.tar.gz"


def test_cifar_has_pixels_and_classes(cifar: Path) -> None:
    source = open_source(str(cifar), size=SIZE)
    assert source.kind == "cifar10"
    assert [item.label for item in items(source)] == [3, 4, 5, 6]
    assert source.labels.names[3] == "cat"
    payload = source.reader().read(source[2])
    np.testing.assert_array_equal(payload, CIFAR[2].reshape(3, 32, 32).transpose(1, 2, 0))


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("evil"),)  # type: ignore[return-value]


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": _Evil(), b"labels": []}))
    with pytest.raises(InputError, match=r"nothing of it was run\. It tries to reach .*pathlib.*touch"):
        open_source(str(folder), size=SIZE)
    assert not (tmp_path / "evil").exists()


NUMPY = p.named("numpy.core.multiarray", "_reconstruct"), p.named("numpy", "ndarray")
POINTERS = p.call(NUMPY[0], NUMPY[1], p.tuple_of(p.number(0)), p.raw(b"b")) + p.tuple_of(
    p.number(1),
    p.tuple_of(p.number(3072)),
    p.call(p.named("numpy", "dtype"), p.text("O"), b"\x89", b"\x88")
    + p.tuple_of(p.number(3), p.text("|"), p.NONE, p.NONE, p.NONE, p.number(-1), p.number(-1), p.number(0))
    + p.BUILD,
    b"\x89",
    p.raw(b"A" * 8 * 3072),
)
PIXELS, LABEL = p.array((1, 3072), bytes(3072), code="u1"), p.EMPTY_LIST + p.number(3) + p.APPEND
BATCHES = {
    "an array of pointers": (p.dict_of(data=POINTERS + p.BUILD, labels=LABEL), "a NumPy array of Python objects"),
    "an array of floats": (p.dict_of(data=p.array((768,), bytes(3072)), labels=LABEL), "no array 'data' of bytes"),
    "half an image": (p.dict_of(data=p.array((9,), bytes(9), code="u1"), labels=LABEL), "no array 'data' of bytes"),
    "lists for arrays": (p.dict_of(data=LABEL, labels=LABEL), "no array 'data' of bytes"),
    "no labels": (p.dict_of(data=PIXELS), "no list 'labels'"),
    "a label of text": (p.dict_of(data=PIXELS, labels=p.EMPTY_LIST + p.text("3") + p.APPEND), "from 0 to 9"),
    "a class that is not": (p.dict_of(data=PIXELS, labels=p.EMPTY_LIST + p.number(10) + p.APPEND), "from 0 to 9"),
    "two labels": (p.dict_of(data=PIXELS, labels=LABEL + p.number(1) + p.APPEND), "1 images and 2 labels"),
    "a list in itself": (p.EMPTY_LIST + p.put(0) + p.get(0) + p.APPEND, "no array 'data'"),
    "deep nesting": (p.EMPTY_LIST * 1000, "no array 'data'"),
    "a number": (p.number(2**40), "no array 'data'"),
    "half a pickle": (p.MARK, "damaged"),
}


@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_that_is_none_of_cifar_is_refused(case: str, tmp_path: Path) -> None:
    body, message = BATCHES[case]
    (tmp_path / "data_batch_1").write_bytes(p.pickled(body))
    with pytest.raises(InputError, match=f"data_batch_1 in .*{message}"):
        open_source(str(tmp_path), size=SIZE)


def test_a_cifar_archive_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
    header.size = 8 << 30
    with gzip.open(tmp_path / "cifar-10-python.tar.gz", "wb") as file:
        file.write(header.tobuf() + bytes(4096))
    with pytest.raises(InputError, match=r"unpacks to more than 1\.0 GiB"):
        open_source(str(tmp_path / "cifar-10-python.tar.gz"), size=SIZE)


def test_an_extended_header_of_a_tar_file_is_bounded(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 5 << 30
    with gzip.open(tmp_path / "cifar-10-python.tar.gz", "wb") as file:
        file.write(tarfile.TarInfo("a").tobuf() + header.tobuf() + bytes(1 << 20))
    with pytest.raises(InputError, match="a header in it claims 5368709120 bytes"):
        open_source(str(tmp_path / "cifar-10-python.tar.gz"), size=SIZE)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((3, 28), "shape"),
        ((0, 28, 28), "shape"),
        ((3, 2**31, 2**31), "are there"),
        ((4, 28, 28), "cut short|are there"),
        ((1,) * 255, "shape"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_an_idx_file_of_other_lengths_is_refused(
    lengths: tuple[int, ...], message: str, zipped: bool, tmp_path: Path
) -> None:
    data = bytes([0, 0, 8, len(lengths)]) + np.array(lengths, ">u4").tobytes() + bytes(3 * 28 * 28)
    path = tmp_path / ("train-images-idx3-ubyte" + ".gz" * zipped)
    path.write_bytes(gzip.compress(data) if zipped else data)
    with pytest.raises(InputError, match=message):
        open_source(str(path), size=SIZE)


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_has_pixels_and_classes(tmp_path: Path, zipped: bool) -> None:
    digits = np.random.RandomState(0).randint(0, 256, (3, 28, 28)).astype(np.uint8)
    images = b"\0\0\x08\x03" + np.array([3, 28, 28], ">u4").tobytes() + digits.tobytes()
    labels = b"\0\0\x08\x01" + np.array([3], ">u4").tobytes() + bytes([7, 0, 9])
    ending = ".gz" if zipped else ""
    for name, data in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        (tmp_path / (name + ending)).write_bytes(gzip.compress(data) if zipped else data)
    for path in (tmp_path, tmp_path / f"train-images-idx3-ubyte{ending}"):
        source = open_source(str(path), size=SIZE)
        assert source.labels == LabelSchema(kind="class", names=tuple("0123456789"))
        assert [item.label for item in items(source)] == [7, 0, 9]
        np.testing.assert_array_equal(source.reader().read(source[1]), digits[1])


def test_a_broken_idx_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + bytes(7))
    with pytest.raises(InputError, match="IDX"):
        open_source(str(tmp_path), size=SIZE)


@pytest.mark.parametrize("form", ["parquet", "arrow", "shards", "saved"])
def test_tables_have_bytes_and_classes(tmp_path: Path, form: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    pictures = [{"bytes": png(value), "path": None} for value in range(3)]
    table = arrow.table({"image": pictures, "label": [1, 0, 1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path = tmp_path / "rows.parquet"
    if form == "parquet":
        parquet.write_table(table, path, row_group_size=2)
    elif form == "shards":
        path = tmp_path
        (tmp_path / "data").mkdir()
        for shard, rows in enumerate((table.slice(0, 2), table.slice(2))):
            parquet.write_table(rows, tmp_path / "data" / f"train-{shard:05d}-of-00002.parquet")
        parquet.write_table(table, tmp_path / "data" / "test-00000-of-00001.parquet")
    else:
        path = tmp_path / "data-00000-of-00001.arrow"
        with arrow.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table)
        if form == "saved":
            (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": path.name}]}))
            path = tmp_path
    source = open_source(str(path), size=SIZE)
    check_three(source, ["row-00000000", "row-00000001", "row-00000002"], [0, 1, 2])
    labeller = make_labeller("auto", [source])
    assert labeller.schema == LabelSchema(kind="class", names=("cat", "dog"))
    assert [labeller.label(0, item) for item in items(source)] == [1, 0, 1]


def test_columns_of_a_table_are_chosen_as_labels(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"label": [0, 1], "coarse_label": ["u", "v"], "age": [0.5, 3.0], "size": [1, 2]}
    parquet.write_table(arrow.table({"image": [png(0), png(1)], **columns}), tmp_path / "t.parquet")
    source = open_source(str(tmp_path / "t.parquet"), size=SIZE)
    assert make_labeller("auto", [source]).schema == LabelSchema(kind="class", names=("0", "1"))
    assert "coarse_label, age, size" in source.notes[0]
    coarse = make_labeller("auto", [source], columns=["coarse_label"])
    assert coarse.schema == LabelSchema(kind="class", names=("u", "v"))
    pair = make_labeller("auto", [source], columns=["age", "size"])
    assert [pair.label(0, item) for item in items(source)] == [(0.5, 1.0), (3.0, 2.0)]
    with pytest.raises(ConfigError, match="no column 'colour'"):
        make_labeller("auto", [source], columns=["colour"])


def test_a_table_without_pictures_is_an_error(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="no column of images, only text"):
        open_source(str(tmp_path / "t.parquet"), size=SIZE)


def test_samples_follow_their_options() -> None:
    source = open_source("sample:landscapes?count=3&seed=4&labels=season", size=(8, 12))
    assert len(source) == 3
    assert source.labels.names == ("spring", "summer", "autumn", "winter")
    assert source[1].label == source.labels.names.index(source[1].attributes["season"])
    payload = source.reader().read(source[1])
    assert isinstance(payload, np.ndarray)
    assert payload.shape == (8, 12, 3)
    assert open_source("sample:landscapes?labels=all", size=SIZE).labels.dim == 10


def test_samples_with_swapped_channels_are_different_data() -> None:
    plain, swapped = (open_source(f"sample:landscapes?count=2{end}", size=(8, 12)) for end in ("", "&channels=bgr"))
    assert np.array_equal(swapped.reader().read(swapped[1]), plain.reader().read(plain[1])[..., ::-1])
    assert plain.fingerprint() == "landscapes?count=2&seed=0&labels=none"
    assert swapped.fingerprint() == f"{plain.fingerprint()}&channels=bgr"


def test_samples_are_classed_by_season_and_part_of_the_day() -> None:
    source = open_source("sample:landscapes?count=40&labels=season-hour", size=SIZE)
    found = {(source.labels.names[item.label], hour_name(item.attributes["hour"])) for item in items(source)}
    assert all(name.partition("-")[2] == part for name, part in found)
    assert len({part for _, part in found}) == 4
    assert [hour_name(hour) for hour in (0.0, 5.6, 8.0, 16.0, 18.6)] == ["night", "dawn", "day", "dusk", "night"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sample:landscape", "Did you mean 'landscapes'"),
        ("sample:landscapes?cuont=3", "Did you mean 'count'"),
        ("sample:landscapes?count=0", "whole number, 1 or more"),
        ("sample:landscapes?channels=grey", "channels is 'grey' in .* Allowed: rgb, bgr"),
        ("sample:landscapes?labels=hour", "Allowed: none, season, season-hour, all"),
    ],
)
def test_samples_that_are_not_there_are_named(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(given, size=SIZE)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="There is no file or folder nowhere/at/all"):
        open_source("nowhere/at/all", size=SIZE)


def test_an_empty_folder_and_an_unknown_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no images, but no files at all"):
        open_source(str(tmp_path), size=SIZE)
    (tmp_path / "x.docx").write_bytes(b"?")
    with pytest.raises(InputError, match=r"is a text file that begins '\?', which is not a source of images"):
        open_source(str(tmp_path / "x.docx"), size=SIZE)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "data.mdb"])
def test_broken_containers_are_errors(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8bnothing of the kind" * 300)
    with pytest.raises(InputError, match="cannot be"):
        open_source(str(tmp_path if name == "data.mdb" else tmp_path / name), size=SIZE)


def test_an_unfinished_store_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(StoreError, match="unfinished"):
        open_source(str(tmp_path), size=SIZE)


def test_the_fingerprint_follows_names_and_the_digest_labels(folder: Path) -> None:
    found = []
    for label in (1, 2):
        (folder / "dataset.json").write_text(json.dumps({"labels": [["a/1.png", label]]}))
        source = open_source(str(folder), size=SIZE)
        found.append((source.fingerprint(), make_labeller("auto", [source]).digest))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]
    (folder / "a" / "1.png").rename(folder / "a" / "0.png")
    assert open_source(str(folder), size=SIZE).fingerprint() != found[0][0]
