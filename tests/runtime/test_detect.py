from __future__ import annotations

import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from sgkit.runtime.detect import detect, detect_bytes
from sgkit.runtime.file_kinds import PHRASES
from sgkit.runtime.path_checks import is_url


def image(form: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, form)
    return stream.getvalue()


def zipped(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.png"), io.BytesIO())
    return stream.getvalue()


def torch_file(*, new: bool) -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, stream, _use_new_zipfile_serialization=new)
    return stream.getvalue()


def array_file(save: Callable[..., None]) -> bytes:
    stream = io.BytesIO()
    save(stream, np.zeros(3))
    return stream.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "legacy.bin": (torch_file(new=False), "torch legacy"),
    "zip.jpg": (torch_file(new=True), "torch zip"),
    "pickle": (pickle.dumps({"a": 1}), "pickle"),
    "protocol2": (pickle.dumps({"a": 1}, protocol=2), "pickle"),
    "protocol0": (pickle.dumps({"a": 1}, protocol=0), "pickle"),
    "npy": (array_file(np.save), "npy"),
    "npz": (array_file(np.savez), "npz"),
    "compressed npz": (array_file(np.savez_compressed), "npz"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0\0", "hdf5"),
    "keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "keras"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x051.9.0", "onnx"),
    "photo.pkl": (image("JPEG"), "jpeg"),
    "png": (image("PNG"), "png"),
    "webp": (image("WEBP"), "webp"),
    "gif": (image("GIF"), "gif"),
    "tiff": (image("TIFF"), "tiff"),
    "bmp": (image("BMP"), "bmp"),
    "pnm": (image("PPM"), "pnm"),
    "heic": (b"\0\0\0\x18ftypmif1\0\0\0\0heicmif1", "heic"),
    "avif": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "avif"),
    "mp4": (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "video"),
    "zip": (zipped("readme.txt"), "zip"),
    "images.zip": (zipped("__MACOSX/._a.pkl", "flowers/", "flowers/a.JPG"), "zip of images"),
    "net.zip": (zipped("ffhq/readme.txt", "ffhq/net.pkl"), "zip of a checkpoint"),
    "empty.zip": (zipped(), "zip"),
    "cut.zip": (zipped("a.pkl")[:45], "cut zip"),
    "cut torch": (torch_file(new=True)[:200], "torch zip"),
    "tar": (tarred(), "tar"),
    "gz": (gzip.compress(b"a"), "gzip"),
    "xz": (lzma.compress(b"a"), "xz"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
    "page.pkl": (b"\n<!DOCTYPE html><html><title>Google Drive - Virus scan warning", "html"),
    "page16": ("\ufeff<html>".encode("utf-16-le"), "html"),
    "denied": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "xml"),
    "lfs.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n", "lfs pointer"),
    "json": (b'\xef\xbb\xbf{"error": "not found"}', "json"),
    "text": (b"404: Not Found", "text"),
    "utf8": ("Grüße, 世界\n".encode() * 40, "text"),
    "empty": (b"", "empty"),
    "unknown": (bytes(range(200, 256)) * 4, "unknown"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_told_by_its_first_bytes(name: str, tmp_path: Path) -> None:
    content, kind = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert detect(tmp_path / name).kind == kind


def test_a_safetensors_file_is_one(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "renamed.bin")
    assert detect(tmp_path / "renamed.bin").kind == "safetensors"


def test_a_text_file_shows_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_text("404: Not Found\nmore")
    assert detect(tmp_path / "a.pkl").detail == "404: Not Found"


def test_a_zip_names_the_checkpoint_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(FILES["net.zip"][0])
    assert detect(tmp_path / "a.zip").detail == "ffhq/net.pkl"


FOLDERS: dict[str, tuple[str, ...]] = {
    "store": ("header.json", "data/data.mdb"),
    "unfinished store": ("plan.json",),
    "run": ("config.toml", "snapshots/x/model.safetensors"),
    "snapshots": ("000100/model.safetensors",),
    "projection": ("latent.npz", "target.png"),
    "projections": ("me/latent.npz", "me/target.png"),
    "images": ("a.jpg", "notes.txt"),
    "images in subfolders": ("roses/a.JPEG", "tulips/b.jpeg"),
    "lmdb": ("data.mdb", "lock.mdb"),
    "saved model": ("saved_model.pb", "variables/x"),
    "models": ("network-snapshot-000001.pkl",),
    "deep zoom": ("image.dzi", "image_files/0/0_0.png", "index.html"),
    "partial image": ("journal-00000.txt", "row-000003.raw"),
    "empty folder": (),
    "folder": ("readme.md",),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_is_told_by_what_is_in_it(kind: str, tmp_path: Path) -> None:
    for name in FOLDERS[kind]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert detect(tmp_path).kind == kind


def test_images_without_an_extension_make_a_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "IMG_0001").write_bytes(image("JPEG"))
    assert detect(tmp_path).kind == "images"


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert detect(tmp_path / "pipe").kind == "special"
    assert detect(tmp_path / "nothing").kind == "missing"
    assert detect("a\0b").kind == "missing"


@pytest.mark.parametrize("name", ["zip.jpg", "images.zip", "npz", "png"])
def test_damaged_files_raise_nothing(name: str, tmp_path: Path) -> None:
    content = FILES[name][0]
    for seed in range(60):
        random = np.random.default_rng(seed)
        damaged = bytearray(content[: random.integers(len(content) + 1)] if seed % 2 else content)
        for place in random.integers(max(len(damaged), 1), size=8 if damaged else 0):
            damaged[place] = random.integers(256)
        (tmp_path / "file").write_bytes(damaged)
        assert detect(tmp_path / "file").kind in PHRASES


def test_every_start_of_every_file_has_a_kind() -> None:
    for content, _ in FILES.values():
        assert all(detect_bytes(content[:length]) in PHRASES for length in range(0, min(len(content), 600), 7))


def test_phrases_are_plain() -> None:
    assert all(phrase.split()[0] in ("a", "an", "missing") for phrase in PHRASES.values())


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("https://a.b/c.pkl", True),
        ("https:/a.b/c.pkl", True),
        ("hf://x/y", True),
        ("C:/models/a.pkl", False),
        ("a", False),
    ],
)
def test_web_addresses_are_told_from_paths(text: str, yes: bool) -> None:
    assert is_url(text) is yes
    assert is_url(Path(text)) is yes
