from __future__ import annotations

import errno
import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from sgkit.cli.app import main
from sgkit.errors import ConfigError, InputError, StoreError
from sgkit.store import StoreDataset, StoreReader
from sgkit.store.header import HEADER_NAME
from sgkit.store.records import PartWriter, Record
from sgkit.tasks import data
from sgkit.tasks.prepare import PrepareOptions, prepare

COUNT = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    random = np.random.RandomState(0)
    for index in range(COUNT):
        path = folder / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.randint(0, 256, (8, 8, 3)).astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def store(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "store"
    prepare(folder, path, options=PrepareOptions(size=(8, 8), labels="folders", pyramid=True))
    return path


def damage(store: Path, target: Path, change: str) -> Path:
    """A copy of a store whose image 2 is not what it was."""
    reader = StoreReader(store)
    records = []
    for index in range(len(reader)):
        source = 3 if change == "swapped" and index == 2 else index
        images = {f"{s[1]}x{s[0]}": bytes(reader.record(source, size=s)) for s in reader.header.sizes}
        if change == "broken" and index == 2:
            images["8x8"] = images["8x8"][:50]
        if change == "level" and index == 2:
            images["4x4"] = bytes(reader.record(3, size=(4, 4)))
        label = reader.stored_label(0 if change == "label" and index == 6 else index)
        records.append(Record(images, label, reader.meta(index)))
    target.mkdir()
    PartWriter(target / "part-00000.mdb").commit(0, records, {"num_images": COUNT, "num_bytes": 10000})
    (target / "header.json").write_bytes((store / "header.json").read_bytes())
    return target


def test_info_counts_and_averages(store: Path, tmp_path: Path) -> None:
    result = data.info(store, pictures=tmp_path / "pictures")
    assert result.classes == {"a": 5, "b": 4}
    images = np.stack([StoreDataset(store)[i][0].numpy() for i in range(COUNT)]).astype(float)
    assert result.mean_colour == pytest.approx(images.mean(axis=(0, 2, 3)).tolist())
    mean = np.asarray(Image.open(result.pictures["mean"]))
    np.testing.assert_array_equal(mean, np.rint(images.mean(axis=0)).transpose(1, 2, 0))
    sheet = np.asarray(Image.open(result.pictures["sheet"]))
    np.testing.assert_array_equal(sheet[:8, 16:24], images[2].transpose(1, 2, 0))
    assert result.bytes_on_disk > result.bytes_of_images > 0


def test_a_whole_store_verifies(store: Path) -> None:
    assert data.verify(store).ok


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("broken", "cannot be decoded"),
        ("swapped", "differ from their hash"),
        ("level", "4x4 is not the mean"),
        ("label", ""),
    ],
)
def test_every_kind_of_damage_is_found(store: Path, tmp_path: Path, change: str, problem: str) -> None:
    result = data.verify(damage(store, tmp_path / "damaged", change))
    assert not result.ok
    if problem:
        (found,) = result.problems
        assert (found.index, found.name) == (2, "a/4.png")
        assert problem in found.problem
    else:
        assert not result.content_hash_ok


def test_a_folder_is_exported_and_prepared_again(store: Path, tmp_path: Path) -> None:
    data.export(store, tmp_path / "out")
    options = PrepareOptions(size=(8, 8), labels=str(tmp_path / "out" / "labels.csv"), pyramid=True)
    prepare(tmp_path / "out", tmp_path / "again", options=options)
    assert data.diff(store, tmp_path / "again").same


def test_nvidias_zip_is_exported_and_prepared_again(store: Path, tmp_path: Path) -> None:
    data.export(store, tmp_path / "out.zip", form="nvidia")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        labels = json.loads(archive.read("dataset.json"))["labels"]
    assert labels[0] == ["00000/img00000000.png", 0]
    assert [label for _, label in labels] == [0] * 5 + [1] * 4
    prepare(tmp_path / "out.zip", tmp_path / "again", options=PrepareOptions(size=(8, 8)))
    found = data.diff(store, tmp_path / "again")
    assert (found.num_same, found.num_labels_differ, found.same_order) == (9, 0, True)
    assert set(found.settings) == {"pyramid", "labels"}  # such a file has no names for its classes


def test_rosinalitys_lmdb_is_exported_and_prepared_again(store: Path, tmp_path: Path) -> None:
    data.export(store, tmp_path / "out", form="rosinality")
    with lmdb.open(str(tmp_path / "out"), readonly=True, lock=False) as environment, environment.begin() as transaction:
        keys = [bytes(key) for key, _ in transaction.cursor()]
        assert transaction.get(b"length") == b"9"
    assert keys[:1] + keys[9:10] == [b"4-00000", b"8-00000"]
    prepare(tmp_path / "out", tmp_path / "again", options=PrepareOptions(size=(8, 8)))
    found = data.diff(store, tmp_path / "again")
    assert (found.num_same, found.same_order) == (COUNT, True)


def test_an_export_touches_nothing_that_is_there(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        data.export(store, store)
    with pytest.raises(InputError, match=r"was not overwritten: it also holds header\.json"):
        data.export(store, store, overwrite=True)
    with pytest.raises(ConfigError, match="Did you mean 'nvidia'"):
        data.export(store, tmp_path / "x", form="nvidai")
    wide = tmp_path / "wide"
    prepare("sample:landscapes?count=2", wide, options=PrepareOptions(size=(8, 12)))
    with pytest.raises(InputError, match="squares only"):
        data.export(wide, tmp_path / "x", form="rosinality")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wide"]


def test_exports_and_merged_stores_are_overwritten_only_when_asked(store: Path, tmp_path: Path) -> None:
    for argv in (
        ["data", "export", str(store), "--out", str(tmp_path / "folder")],
        ["data", "export", str(store), "--out", str(tmp_path / "a.zip"), "--form", "nvidia"],
        ["data", "merge", str(store), str(store), "--out", str(tmp_path / "merged")],
    ):
        assert [main([*argv, *force]) for force in ([], [], ["--force"])] == [0, 1, 0], argv
    assert main(["data", "verify", str(tmp_path / "merged")]) == 0


def test_names_that_lead_outside_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "list.txt").write_text(f"{folder / 'a' / '0.png'}\n")
    prepare(tmp_path / "sub" / "list.txt", tmp_path / "store", options=PrepareOptions(size=(8, 8)))
    data.export(tmp_path / "store", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["image-00000000.png"]


def test_merging_joins_classes_by_name(store: Path, tmp_path: Path) -> None:
    for name, label in (("b", "zebra"), ("c", "ant")):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), label[0] and (len(label), 0, 0)).save(tmp_path / "in" / name / f"{label}.png")
    options = PrepareOptions(size=(8, 8), labels="folders", pyramid=True)
    prepare(tmp_path / "in", tmp_path / "other", options=options)
    header = data.merge([store, tmp_path / "other"], tmp_path / "merged")
    assert header.labels.names == ("a", "b", "c")
    merged = StoreDataset(tmp_path / "merged")
    assert [int(merged[i][1].argmax()) for i in range(COUNT + 2)] == [0] * 5 + [1] * 4 + [1, 2]
    assert data.verify(tmp_path / "merged").ok
    assert [source.num_images for source in header.sources] == [COUNT, 2]


def test_a_merge_that_fills_the_disk_leaves_nothing_and_does_not_promise_to_continue(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PartWriter, "_open_to_write", full)
    with pytest.raises(StoreError, match="the disk is full") as caught:
        data.merge([store, store], tmp_path / "merged")
    assert "continue" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_stores_that_do_not_fit_are_not_merged(store: Path, tmp_path: Path) -> None:
    prepare("sample:landscapes?count=2", tmp_path / "other", options=PrepareOptions(size=(8, 12)))
    with pytest.raises(InputError, match="differ in image_size: 8x8 and 12x8"):
        data.merge([store, tmp_path / "other"], tmp_path / "merged")
    options = PrepareOptions(size=(8, 8), labels="none", pyramid=True)
    prepare(store, tmp_path / "plain", options=options)
    with pytest.raises(InputError, match="different labels"):
        data.merge([store, tmp_path / "plain"], tmp_path / "merged")
    with pytest.raises(InputError, match="two stores or more"):
        data.merge([store], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_diff_names_what_differs(store: Path, folder: Path, tmp_path: Path) -> None:
    options = PrepareOptions(size=(8, 8), labels="folders", pyramid=True, limit=8)
    prepare(folder, tmp_path / "less", options=options)
    found = data.diff(store, tmp_path / "less")
    assert (found.num_same, found.only_in_first, found.only_in_second, found.same) == (8, ("b/7.png",), (), False)
    assert found.settings == {"num_images": (9, 8)}
    relabelled = data.diff(store, damage(store, tmp_path / "label", "label"))
    assert (relabelled.num_labels_differ, relabelled.num_same, relabelled.same) == (1, COUNT, False)
    renamed = tmp_path / "renamed"
    shutil.copytree(store, renamed)
    header = renamed / HEADER_NAME
    header.write_text(header.read_text().replace('"a"', '"c"'))
    classes = data.diff(store, renamed)
    assert (classes.num_same, classes.num_labels_differ, classes.same) == (COUNT, 0, False)
    assert [schema.names for schema in classes.settings["labels"]] == [("a", "b"), ("c", "b")]
    with pytest.raises(StoreError, match="no store at"):
        data.diff(store, tmp_path / "nowhere")


def test_the_commands(store: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "store")
    assert main(["prepare", str(folder), "--out", out, "--size", "8", "--labels", "folders", "--workers", "1"]) == 0
    assert "9 (8x8, 3 channels)" in capsys.readouterr().out
    assert main(["prepare", str(folder), "--out", out, "--size", "8"]) == 1
    assert "finished store already" in capsys.readouterr().err
    assert main(["prepare", str(folder), "--out", out + "2", "--size", "8", "--filter", "lanzcos"]) == 2
    assert "Did you mean 'lanczos'" in capsys.readouterr().err
    assert main(["data", "info", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == {"a": 5, "b": 4}
    assert main(["data", "info", out]) == 0
    assert "class (2)" in capsys.readouterr().out
    assert main(["data", "verify", out]) == 0
    assert "All 9 images are intact" in capsys.readouterr().out
    assert main(["data", "verify", str(damage(store, tmp_path / "bad", "broken"))]) == 1
    assert "cannot be decoded" in capsys.readouterr().out
    assert main(["data", "diff", out, str(store)]) == 0
    assert main(["data", "export", out, "--out", str(tmp_path / "x.zip"), "--form", "nvidia"]) == 0
    assert main(["data", "merge", out, out, "--out", str(tmp_path / "merged")]) == 0
    assert main(["data", "diff", out, str(tmp_path / "merged")]) == 1
    assert "only in the second" in capsys.readouterr().out


def test_the_command_names_settings_that_differ_in_words(
    store: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(folder, tmp_path / "plain", options=PrepareOptions(size=(8, 12), labels="none", pyramid=True))
    assert main(["data", "diff", str(store), str(tmp_path / "plain")]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "image_size 8x8 / 12x8 labels class (a, b) / none" in shown


def test_the_command_splits(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", str(folder), "--out", str(tmp_path / "s"), "--size", "8", "--workers", "1"]
    assert main([*command, "--split", "train=0.6,val=0.4", "--background", "1,2,3"]) == 0
    assert len(StoreReader(tmp_path / "s" / "train")) + len(StoreReader(tmp_path / "s" / "val")) == COUNT
    capsys.readouterr()
    assert main([*command, "--background", "white"]) == 2
    assert "three numbers from 0 to 255" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "60"], "Image size 60x60 .* Good sizes near: 56x56 and 64x64. .* add --any-size"),
        (["--size", "300x200"], "Good sizes near: 288x192 and 320x224"),
        (["--size", "64", "--any-size"], "--any-size has no effect"),
        (["--size", "8", "--crop", "middle"], "Allowed: center, wide, none, random:N"),
        (["--size", "8", "--landmarks", __file__], "--landmarks has no effect without --crop face"),
        (["--size", "8", "--seed", "3"], "--seed has no effect without --crop random or --split"),
        (["--size", "8", "--background", "1,2,3", "--channels", "4"], "--background has no effect"),
        (["--size", "8", "--part", "1/2", "--split", "a=0.5,b=0.5"], "--part has no effect with --split"),
        (["--size", "8", "--max-bad", "3", "--on-error", "stop"], "--max-bad has no effect"),
        (["--size", "8", "--bits", "7"], "bits is 7; it must be 8 to 16"),
        (["--size", "8", "--min-size", "-1"], "min_size is -1; it must be 0 or more"),
        (["--size", "8", "--max-pixels", "0"], "max_pixels is 0; it must be 1 or more"),
        (["--size", "8", "--max-aspect", "0.5"], "max_aspect is 0.5; it must be 1 or more"),
        (["--size", "8", "--max-bad", "-3"], "max_bad is -3; it must be a number of files"),
    ],
)
def test_what_could_not_work_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["prepare", str(tmp_path), "--out", str(tmp_path / "s"), *options]) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))
    assert not (tmp_path / "s").exists()


def test_a_size_for_other_uses_than_training(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", str(folder), "--out", str(tmp_path / "s"), "--size", "60", "--workers", "1"]
    assert main([*command, "--any-size"]) == 0
    assert "9 (60x60, 3 channels) adjusted 9 (9 enlarged)" in " ".join(capsys.readouterr().out.split())
