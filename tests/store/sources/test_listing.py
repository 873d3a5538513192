"""Every file of a source is used or listed with a reason, whatever it is called and wherever it lies."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sgkit.cli.app import main
from sgkit.errors import InputError
from sgkit.store import StoreReader
from sgkit.store.header import Header, LabelSchema
from sgkit.store.overview import label_facts, label_rows
from sgkit.store.sources import open_source, open_sources
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import container, flat, header_of

USED = {
    "a.tga": flat(form="TGA"),
    "b.ico": flat(form="ICO"),
    "c": flat(form="PNG"),
    "d.jpg?x=1": flat(form="JPEG"),
    "e.download": flat(form="WEBP"),
    "f.PNG": flat(form="PNG"),
    "g.txt": flat(form="GIF"),
    "h.1234": flat(form="BMP"),
    "deep/er/i.png": flat(form="PNG"),
}
LISTED = {
    "Thumbs.db": (b"\0" * 9, "system file"),
    ".DS_Store": (b"\0", "system file"),
    "._a.png": (b"\0\5\x16\7", "system file"),
    "deep/desktop.ini": (b"[x]", "system file"),
    "__MACOSX/._a.png": (b"\0\5\x16\7", "system file"),
    ".git/config": (b"[core]", "hidden"),
    ".hidden.png": (flat(form="PNG"), "hidden"),
    "dataset.json": (b'{"labels": null}', "label file"),
    "labels.csv": (b"file,y\nc,1\n", "not an image"),
    "film.mp4": (b"\0\0\0\x18ftypisom" + bytes(30), "not an image"),
    "page.html": (b"<!DOCTYPE html>", "not an image"),
    "raw.NEF": (b"II*\0" + bytes(30), "camera raw"),
    "empty": (b"", "not an image"),
    "words.jpg": (b"words", "not an image"),
}
FILES = USED | {name: data for name, (data, _) in LISTED.items()}


def names_in(store: Path) -> list[str]:
    reader = StoreReader(store)
    return sorted(reader.meta(index)["name"] for index in range(len(reader)))


def reported(store: Path) -> dict[str, str]:
    lines = (store / "report.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["name"]: line["reason"] for line in map(json.loads, lines)}


def made(source: Any, store: Path, **options: Any) -> Header:
    return header_of(prepare(source, store, options=PrepareOptions(**{"size": (8, 8), **options})))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
def test_every_file_is_used_or_listed(tmp_path: Path, kind: str) -> None:
    header = made(container(tmp_path, FILES, kind), tmp_path / "store")
    assert names_in(tmp_path / "store") == sorted(USED)
    expected = {name: reason for name, (_, reason) in LISTED.items()}
    if kind == "folder":  # folders that are not entered are one entry
        expected = {("/".join(n.split("/")[:1]) + "/" if n[:2] in ("__", ".g") else n): r for n, r in expected.items()}
    assert reported(tmp_path / "store") == expected
    assert header.skipped == {"not an image": 1}  # words.jpg: by its name it is an image
    assert sum(header.unused.values()) == len(expected) - 1


@pytest.mark.parametrize(
    "given", [["in/c"], ["in/c", "in/f.PNG", "in/c"], ["in/deep", "in/c", "in/a.tga"], ["in/[cf]*"]]
)
def test_image_files_are_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]) -> None:
    container(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    header = made(given, tmp_path / "store")
    assert header.unused.get("not an image", 0) == given.count("in/[cf]*")  # film.mp4
    assert header.num_images == (2 if "in/[cf]*" in given else len(set(given)))
    assert [source.kind for source in header.sources] == (["folder", "files"] if "in/deep" in given else ["files"])


def test_archives_are_known_by_their_content(tmp_path: Path) -> None:
    for kind, name in (("zip", "photos.download"), ("tar", "photos")):
        container(tmp_path, FILES, kind).rename(tmp_path / name)
        assert len(open_source(str(tmp_path / name), size=(8, 8))) == len(USED) + 1


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.zip", b"<!DOCTYPE html><p>Sign in</p>", "cannot be opened as a zip file"),
        ("x.csv", b"file,y\na.png,1\n", "--labels FILE"),
        ("x.safetensors", b"\x08\0\0\0\0\0\0\0{}      ", "a .safetensors file, which is not a source of images"),
    ],
)
def test_what_is_not_a_source_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        open_source(str(tmp_path / name), size=(8, 8))


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    folder = container(tmp_path, {name: data for name, (data, _) in LISTED.items() if name != "words.jpg"})
    with pytest.raises(InputError, match=r"holds no images, but 13 other files \(.*system file"):
        open_source(str(folder), size=(8, 8))
    with pytest.raises(InputError, match="is a web address"):
        open_source("https://example.org/a.zip", size=(8, 8))


def test_a_zip_of_windows_and_of_macos(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in ("cat\\a.png", "dog\\b.png"):
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, flat(form="PNG"))
        archive.writestr("ete\u0301/c.png", flat(form="PNG"))
    data = (tmp_path / "in.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "in.zip") as archive:
        offset = archive.getinfo("ete\u0301/c.png").header_offset
    changed = bytearray(data)
    changed[offset + 7] &= 0xF7  # macOS does not say that names are UTF-8
    central = data.rindex(b"PK\x01\x02")
    changed[central + 9] &= 0xF7
    (tmp_path / "in.zip").write_bytes(changed)
    source = open_source(str(tmp_path / "in.zip"), size=(8, 8))
    assert sorted(source.folders()) == ["cat", "dog", "ete\u0301"]
    made(tmp_path / "in.zip", tmp_path / "store", labels="folders")


def test_what_lies_beside_a_data_set_is_listed(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"image": [flat(form="PNG")]}), tmp_path / "train-0.parquet")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "a.png").write_bytes(flat(form="PNG"))
    source = open_source(str(tmp_path), size=(8, 8))
    assert {(file.name, file.reason) for file in source.unused} == {("README.md", "not used"), ("a.png", "not used")}
    assert "1 image files in" in source.notes[0]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").write_bytes(flat(form="PNG"))
    parquet.write_table(arrow.table({"y": [1]}), tmp_path / "other" / "facts.parquet")  # no images in it
    assert open_source(str(tmp_path / "other"), size=(8, 8)).kind == "folder"


def test_a_list_as_windows_writes_it(tmp_path: Path) -> None:
    container(tmp_path, FILES)
    (tmp_path / "list.txt").write_bytes('in\\f.PNG\r\n"in\\deep\\er\\i.png"\r\nin\\f.PNG\r\n'.encode("utf-16"))
    header = made(tmp_path / "list.txt", tmp_path / "store")
    assert names_in(tmp_path / "store") == ["in/deep/er/i.png", "in/f.PNG"]
    assert "1 lines of" in header.notes[0]


# --------------------------------------------------------------------------------------------- summary


def photos(root: Path) -> Path:
    for number, name in enumerate(("cat/a.png", "cat/b.png", "dog/c.png")):
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        side = 8 if number == 1 else 32
        Image.fromarray(np.full((side, side, 3), number, np.uint8)).save(root / "photos" / name)
    return root / "photos"


def test_enlarged_images_are_counted_reported_and_left_out_on_wish(tmp_path: Path) -> None:
    header = made(photos(tmp_path), tmp_path / "store", size=(16, 16))
    assert (header.num_images, header.changed) == (3, {"enlarged": 1})
    (line,) = map(json.loads, (tmp_path / "store" / "report.jsonl").read_text().splitlines())
    assert (line["name"], line["reason"], line["detail"], line["used"]) == (
        "cat/b.png",
        "enlarged",
        "8x8 to 16x16",
        True,
    )
    without = made(tmp_path / "photos", tmp_path / "other", size=(16, 16), enlarge=False)
    assert (without.num_images, without.changed, without.skipped) == (2, {}, {"too small": 1})
    tiles = made(tmp_path / "photos", tmp_path / "tiles", size=(16, 16), crop="random:3", enlarge=False)
    assert (tiles.num_images, tiles.changed) == (6, {})


def test_the_summary_counts_classes_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = photos(tmp_path), str(tmp_path / "store")
    (folder / "Thumbs.db").write_bytes(b"\0")
    (folder / "bad.png").write_bytes(b"")
    (folder / "dataset.json").write_text(json.dumps({"labels": [["cat/a.png", 0], ["cat/b.png", 0], ["dog/c.png", 2]]}))
    command = ["prepare", str(folder), "--out", out, "--size", "16", "--workers", "1"]
    assert main(command) == 0
    shown = capsys.readouterr()
    words = " ".join(shown.out.split())
    assert "images 3 (16x16, 3 channels) adjusted 1 (1 enlarged) duplicates 0" in words
    assert "labels class (3); 1 without images" in words
    assert "skipped 1 (1 empty)" in words
    assert "other files 2 (1 label file, 1 system file)" in words
    assert "0 2 1 0 2 1" in words
    assert "--no-enlarge" in shown.err
    assert main(["data", "info", out]) == 0
    again = " ".join(capsys.readouterr().out.split())
    assert "class (3); 1 without images adjusted 1 (1 enlarged) duplicates 0" in again
    assert main(["data", "info", out, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == {"0": 2, "1": 0, "2": 1}
    assert found["header"]["label_counts"] == [2, 0, 1]
    assert (found["header"]["changed"], found["header"]["unused"]) == (
        {"enlarged": 1},
        {"label file": 1, "system file": 1},
    )


def test_frames_and_transparency_that_are_lost_are_counted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (0, 99)]
    for name in ("a.gif", "b.png", "c.tif", "d.webp"):
        frames[0].save(tmp_path / "in" / name, save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "in" / "e.gif")
    for alpha in (255, 254):
        frames[0].convert("RGBA").putalpha(alpha)
        image = Image.new("RGBA", (8, 8), (1, 2, 3, alpha))
        image.save(tmp_path / "in" / f"alpha-{alpha}.png")
    header = made(tmp_path / "in", tmp_path / "store")
    assert header.changed == {"first of several frames": 4, "laid on the background": 1}
    assert made(tmp_path / "in", tmp_path / "alpha", channels=4).changed == {"first of several frames": 4}
    assert made(tmp_path / "in", tmp_path / "refused", animated="refuse").skipped == {"animated": 4}


def test_duplicates_are_counted_where_they_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = photos(tmp_path)
    (folder / "again.png").write_bytes((folder / "cat" / "a.png").read_bytes())
    assert made(folder, tmp_path / "store").repeated == 1
    assert made(folder, tmp_path / "clean", dedupe="exact").repeated == 0
    assert main(["prepare", str(folder), "--out", str(tmp_path / "o"), "--size", "8", "--workers", "1"]) == 0
    assert "--dedupe exact" in capsys.readouterr().err


def test_folders_that_could_be_classes_are_told(tmp_path: Path) -> None:
    folder = photos(tmp_path)
    (folder / "labels.csv").write_text("file,y\na.png,1\n")
    notes = " ".join(made(folder, tmp_path / "store").notes)
    assert "2 folders of images were found (cat, dog). Add --labels folders" in notes
    assert f"add --labels {folder / 'labels.csv'}" in notes
    pair = " ".join(made([folder / "cat", folder / "dog"], tmp_path / "pair").notes)
    assert "Add --labels folders to make each source a class" in pair
    assert not made(folder, tmp_path / "none", labels="none").notes


def test_large_tables_of_classes_show_their_ends() -> None:
    labels = LabelSchema(kind="class", names=tuple(map(str, range(100))))
    counts = [number if number % 2 else 0 for number in range(100)]
    title, rows = label_rows(labels, counts)
    assert (title, len(rows)) == ("Labels: the 5 with the most and the 5 with the fewest images", 10)
    assert (rows[0], rows[-1]) == (("99", 99), ("1", 1))
    assert label_facts(labels, counts) == "class (100); 50 without images"
    assert "--label-kind float" in label_facts(labels, [1] + [0] * 99)
    assert "--label-kind float" in label_facts(labels, [0] * 18 + [5] * 82)  # ages
    assert "no class has two images" in label_facts(labels, [1] * 100)


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode")
def test_names_that_are_not_utf8_stay_exact(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        Path(os.fsdecode(folder)).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    Path(os.fsdecode(folder + b"/\xff.png")).write_bytes(flat(form="PNG"))
    (source,) = open_sources([str(tmp_path)], size=(8, 8))
    assert os.fsencode(source[0].name) == b"caf\xe9/\xff.png"
    made(tmp_path, tmp_path / "store")
    assert os.fsencode(names_in(tmp_path / "store")[0]) == b"caf\xe9/\xff.png"
