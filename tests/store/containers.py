"""Image files, what they may be in, and what became of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from sgkit.store.header import Header
from sgkit.tasks.prepare import PrepareResult


def file_of(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def flat(value: int = 100, form: str = "PNG", size: tuple[int, int] = (16, 16)) -> bytes:
    """An image file of one red."""
    return file_of(Image.new("RGB", size, (value, 0, 0)), form)


def container(root: Path, files: Mapping[str, bytes], kind: str = "folder") -> Path:
    """``files`` in a folder, or an archive of that kind, below ``root``."""
    path = root / ("in" if kind == "folder" else f"in.{kind}")
    if kind == "folder":
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        tar_of(path, [(name, tarfile.REGTYPE, data) for name, data in files.items()])
    return path


def tar_of(path: Path, members: list[tuple[str, bytes, bytes]]) -> Path:
    """A tar file, compressed as its name says, of (name, type, content); links lead to /etc/passwd."""
    mode = "w:" + path.suffix[1:].replace("tar", "").replace("tgz", "gz")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, kind, data in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(data), "/etc/passwd"
            archive.addfile(member, io.BytesIO(data))
    return path


def noise(folder: Path, count: int, *, size: tuple[int, int] = (8, 8)) -> Path:
    """Pictures of noise, [height, width] ``size``, in the folders ``even`` and ``odd`` below ``folder``."""
    random = np.random.RandomState(0)
    for index in range(count):
        path = folder / ("odd" if index % 2 else "even") / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.randint(0, 256, (*size, 3)).astype(np.uint8)).save(path)
    return folder


def header_of(result: PrepareResult) -> Header:
    """The header of a store that is finished."""
    assert result.header is not None
    return result.header
