"""Image files, and what they may be in: folders and archives."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

CONTAINERS = ("folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


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
