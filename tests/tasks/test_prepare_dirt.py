"""Real folders and archives: each kind of bad file is left out for its own reason, and all others are used."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sgkit.errors import InputError
from sgkit.store import StoreReader
from sgkit.store.bad_images import NEEDS_HEIF
from sgkit.tasks.data import export, verify
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import container, file_of, flat, header_of, tar_of


def picture(mode: str = "RGB", value: int = 0) -> Image.Image:
    pixels = np.random.RandomState(value).randint(0, 256, (24, 24, 4)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def deep_png() -> bytes:
    return file_of(Image.fromarray(np.arange(576, dtype=np.uint16).reshape(24, 24) * 100), "PNG")


def frames() -> bytes:
    return file_of(picture("P"), "GIF", save_all=True, append_images=[picture("P", 1)])


LONG = "n" * 230
HEIC = "truncated" if importlib.util.find_spec("pillow_heif") else NEEDS_HEIF
DIRT: dict[str, tuple[bytes, str | None]] = {
    "animated.gif": (frames(), None),
    "bomb.png": (flat(0, size=(300, 300)), "decompression bomb"),
    "broken.png": (b"\x89PNG\r\n\x1a\n" + bytes(40), "truncated"),
    "cmyk.jpg": (file_of(picture("CMYK"), "JPEG"), None),
    "deep.png": (deep_png(), None),
    "empty.jpg": (b"", "empty"),
    "grey.jpeg": (file_of(picture("L"), "JPEG"), None),
    "long.png": (flat(0, size=(200, 20)), "too long"),
    "palette.png": (file_of(picture("P"), "PNG", transparency=3), None),
    "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(40), HEIC),
    "small.png": (flat(0, size=(9, 40)), "too small"),
    "truncated.jpg": (file_of(picture(), "JPEG", quality=95)[:700], "truncated"),
    "words.jpg": (b"These are words.", "not an image"),
    "Überraschung 画像 🌲.png": (file_of(picture(value=2), "PNG"), None),
    f"{LONG}.png": (file_of(picture(value=3), "PNG"), None),
    "folder/same.png": (file_of(picture(value=4), "PNG"), None),
    "other/same.png": (file_of(picture(value=4), "PNG"), "duplicate"),
}
OPTIONS = PrepareOptions(size=(16, 16), max_pixels=80_000, min_size=12, max_aspect=4.0, dedupe="exact")
EXPECTED = {name: reason for name, (_, reason) in DIRT.items() if reason}


def left_out(store: Path) -> dict[str, str]:
    lines = (store / "report.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["name"]: line["reason"] for line in map(json.loads, lines) if not line.get("used")}


def names(store: Path) -> list[str]:
    reader = StoreReader(store)
    return [reader.meta(index)["name"] for index in range(len(reader))]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.bz2"])
def test_every_kind_of_dirt_is_left_out_for_its_reason(tmp_path: Path, kind: str) -> None:
    files = {name: data for name, (data, _) in DIRT.items()}
    if kind == "folder":
        files["notes.txt"] = b"Files of other kinds are listed."
    source = container(tmp_path, files, kind)
    header = header_of(prepare(source, tmp_path / "store", options=OPTIONS))
    others = {"notes.txt": "not an image"} if source.is_dir() else {}
    assert left_out(tmp_path / "store") == EXPECTED | others
    assert (header.num_skipped, header.unused) == (len(EXPECTED), dict.fromkeys(others.values(), 1))
    assert sorted(names(tmp_path / "store")) == sorted(DIRT.keys() - EXPECTED.keys())
    assert verify(tmp_path / "store").ok


def test_odd_names_survive_an_export(tmp_path: Path) -> None:
    source = container(tmp_path, {name: data for name, (data, _) in DIRT.items()}, "zip")
    prepare(source, tmp_path / "store", options=OPTIONS)
    export(tmp_path / "store", tmp_path / "out")
    assert (tmp_path / "out" / "Überraschung 画像 🌲.png").is_file()
    assert (tmp_path / "out" / f"{LONG}.png").is_file()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and pipes")
def test_links_and_pipes_in_a_folder(tmp_path: Path) -> None:
    pile = tmp_path / "pile"
    (pile / "real").mkdir(parents=True)
    picture().save(pile / "real" / "a.png")
    (pile / "also").symlink_to(pile / "real")
    (pile / "loop").symlink_to(pile)
    (pile / "gone.png").symlink_to(pile / "nowhere.png")
    (pile / "self.png").symlink_to(pile / "self.png")
    (pile / "folder.png").mkdir()
    os.mkfifo(pile / "pipe.png")
    prepare(pile, tmp_path / "store", options=OPTIONS)
    assert names(tmp_path / "store") == ["also/a.png"]  # each folder once, under the first of its names
    assert left_out(tmp_path / "store") == dict.fromkeys(("gone.png", "pipe.png", "self.png"), "unreadable")


def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modes do not bind an administrator, who may run this: the system's answers are given here."""
    pile = tmp_path / "pile"
    (pile / "inner").mkdir(parents=True)
    picture().save(pile / "inner" / "a.png")
    picture().save(pile / "b.png")
    open_file, scandir = os.open, os.scandir

    def refusing_open(path: str | Path, *options: Any, **more: Any) -> int:
        if Path(path).name == "b.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_file(path, *options, **more)

    def refusing_scandir(path: str) -> object:
        if Path(path).name == "inner":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "open", refusing_open)
    prepare(pile, tmp_path / "store", options=PrepareOptions(size=(16, 16)))
    assert left_out(tmp_path / "store") == {"b.png": "unreadable"}
    monkeypatch.setattr(os, "scandir", refusing_scandir)
    with pytest.raises(InputError, match=r"inner cannot be listed: Permission denied\. Make it readable"):
        prepare(pile, tmp_path / "other", options=PrepareOptions(size=(16, 16)))


def test_a_zip_with_damaged_repeated_and_outward_names(tmp_path: Path) -> None:
    path, data = tmp_path / "pile.zip", file_of(picture(), "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../../outside.png", "/root.png", "damaged.png", "good.png"):
            archive.writestr(name, data)
        archive.writestr("twice.png", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("twice.png", data)
        damaged = archive.getinfo("damaged.png").header_offset + 200
    content = bytearray(path.read_bytes())
    content[damaged] ^= 0xFF
    path.write_bytes(content)
    prepare(path, tmp_path / "store", options=PrepareOptions(size=(16, 16)))
    assert names(tmp_path / "store") == ["../../outside.png", "/root.png", "good.png", "twice.png"]
    assert left_out(tmp_path / "store") == {"damaged.png": "unreadable"}
    export(tmp_path / "store", tmp_path / "far" / "down" / "out")
    assert not (tmp_path / "outside.png").exists()
    assert len(list((tmp_path / "far" / "down" / "out").rglob("*.png"))) == 4


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_tar_with_links_devices_and_repeated_names(tmp_path: Path, ending: str) -> None:
    data, file = file_of(picture(), "PNG"), tarfile.REGTYPE
    odd = {"char": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE, "hard": tarfile.LNKTYPE, "soft": tarfile.SYMTYPE}
    odd["sparse"] = tarfile.GNUTYPE_SPARSE
    members = [("folder.png", tarfile.DIRTYPE, b""), ("twice.png", file, b"first"), ("../a.png", file, data)]
    members += [(f"{name}.png", kind, b"") for name, kind in odd.items()]
    path = tar_of(tmp_path / f"pile.{ending}", [*members, ("twice.png", file, data), ("/b.png", file, data)])
    prepare(path, tmp_path / "store", options=PrepareOptions(size=(16, 16)))
    assert names(tmp_path / "store") == ["../a.png", "twice.png", "/b.png"]
    assert left_out(tmp_path / "store") == {f"{name}.png": "unreadable" for name in odd}


@pytest.mark.parametrize("form", ["gz", "bz2", "xz"])
def test_a_compressed_tar_that_ends_early_is_told(tmp_path: Path, form: str) -> None:
    path = container(tmp_path, {"a.png": np.random.RandomState(0).bytes(100_000)}, f"tar.{form}")
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(InputError, match=r"cannot be read as a tar file.*Is it complete"):
        prepare(path, tmp_path / "store", options=PrepareOptions(size=(16, 16)))
    assert not (tmp_path / "store").exists()
