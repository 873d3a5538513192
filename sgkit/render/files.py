"""Picture files that carry what they show: a :class:`sgkit.render.scene.Sheet` in their metadata."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from sgkit.errors import InputError, MissingDependencyError, SceneError
from sgkit.render.parsing import parse_sheet
from sgkit.render.pictures import FORMATS, MOST_COMMENT, Pixels, check_picture, to_picture, write_png, write_still
from sgkit.render.scene import LARGEST_SCENE, Sheet
from sgkit.runtime.background import in_background
from sgkit.runtime.files import atomic_path, flush_files
from sgkit.runtime.limits import parse_json, read_file
from sgkit.runtime.outputs import PNG_SETTINGS

KEY = "sgkit.scene"
"""PNG text under which a sheet is kept."""
FOLDER_SCENE = "scene.json"
"""The file that holds the sheet of a folder."""


def scene_text(sheet: Sheet) -> dict[str, str]:
    """PNG text for ``sheet``."""
    text = sheet.to_json()
    return {"Software": "sgkit"} | ({KEY: text} if len(text.encode()) <= LARGEST_SCENE else {})


def write_picture(pixels: Pixels, path: Path, sheet: Sheet, *, flushed: bool = True) -> list[Path]:
    """Write ``pixels`` [H, W, C] as PNG, JPEG or WebP, by the extension, whole or not at all, with ``sheet`` in it.

    A sheet that is too long for the image goes into ``FILE.json`` beside it. Returns the files written; ``flushed``
    is that of :func:`sgkit.runtime.files.atomic_path`.

    Raises:
        UsageError: the extension is another one.
    """
    check_picture(path)
    text, kind = scene_text(sheet), FORMATS[path.suffix.lower()]
    inside = text.get(KEY, "")
    if kind == "JPEG" and len(inside.encode()) > MOST_COMMENT:
        inside = ""
    with atomic_path(path, flushed=flushed) as temporary:
        if kind == "PNG":
            write_png(pixels, temporary, text=text)
        else:
            write_still(pixels, temporary, kind=kind, text=inside)
    if inside:
        return [path]
    write_sheet(sheet, sidecar(path), flushed=flushed)
    return [path, sidecar(path)]


def write_pictures(pictures: Iterable[tuple[Path, Pixels, Sheet]]) -> Iterator[Path]:
    """Write many images as :func:`write_picture` does, while the next ones are drawn; each path when it is written.

    They are flushed to disk together at the end: waiting for each would take longer than drawing small images.
    """
    written: list[Path] = []
    tasks = (partial(write_picture, pixels, path, sheet, flushed=False) for path, pixels, sheet in pictures)
    for files in in_background(tasks):
        written += files
        yield files[0]
    flush_files(written)


def png_bytes(pixels: Pixels) -> bytes:
    """``pixels`` [H, W, C] as a PNG file."""
    buffer = io.BytesIO()
    to_picture(pixels).save(buffer, "PNG", **PNG_SETTINGS)
    return buffer.getvalue()


def write_sheet(sheet: Sheet, path: Path, *, flushed: bool = True) -> None:
    """Write ``sheet`` as JSON, whole or not at all."""
    with atomic_path(path, flushed=flushed) as temporary:
        temporary.write_text(sheet.to_json() + "\n", encoding="utf-8")


def sidecar(path: Path) -> Path:
    """Where the sheet of a file is that has no room for it: ``FILE.json``."""
    return path.with_name(path.name + ".json")


def read_sheet(path: str | Path) -> Sheet:
    """The sheet that an image or animation of sgkit carries, or a JSON file holds.

    Raises:
        InputError: the file is not there or cannot be read.
        SceneError: it holds no scene, or one that does not fit the schema.
    """
    path = Path(path)
    if path.is_dir() and (path / FOLDER_SCENE).is_file():
        path /= FOLDER_SCENE
    if path.suffix.lower() == ".json":
        return parse_sheet(_json(read_file(path, kind="configuration"), path), name=str(path))
    text = embedded(path)
    if text is not None:
        return parse_sheet(_json(text.encode(), path), name=str(path))
    if sidecar(path).is_file():
        return read_sheet(sidecar(path))
    raise SceneError(
        f"{path} carries no scene: it was not made by sgkit, or a program that saved it again dropped the metadata. "
        "Give the original file, or a scene as JSON."
    )


def _json(data: bytes, path: Path) -> Any:
    try:
        return parse_json(data, name=f"the scene of {path}")
    except InputError as error:
        raise SceneError(str(error)) from None


def embedded(path: Path) -> str | None:
    """The text that a file's metadata holds; no pixel is decoded."""
    if path.suffix.lower() == ".mp4":
        return _video_comment(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_header(path) as image:
                return sheet_text(texts_of(image))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}. Check the spelling.") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return None


def open_header(path: Path) -> Image.Image:
    """The image at ``path`` as Pillow sees it, of any size: no pixel is decoded.

    Raises:
        OSError, SyntaxError, ValueError: it is not an image.
    """
    try:
        return Image.open(path)
    except Image.DecompressionBombError:  # large images of ours are in these two formats
        kinds: dict[bytes, type[Image.Image]] = {b"\x89P": PngImagePlugin.PngImageFile}
        with path.open("rb") as file:
            kind = kinds.get(file.read(2), TiffImagePlugin.TiffImageFile)
        return kind(path)  # type: ignore[call-arg]


def texts_of(image: Image.Image) -> dict[Any, Any]:
    """What an image's header says; of a TIFF, also its description."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = {name: image.tag_v2.get(number) for name, number in (("comment", 270), ("Software", 305))}
        return {**image.info, **{name: value for name, value in tags.items() if value}}
    return dict(image.info)


def _video_comment(path: Path) -> str | None:
    try:
        import av

        with av.open(f"file:{path.absolute()}") as container:
            return sheet_text(dict(container.metadata))
    except ImportError:
        raise MissingDependencyError(
            "Reading the scene of an MP4 needs the package av. Install it with: pip install 'stylegan-sgkit[video]'"
        ) from None
    except (OSError, ValueError):
        return None


def sheet_text(info: dict[Any, Any]) -> str | None:
    """The sheet in what Pillow knows of an image: PNG text, the comment of a GIF or JPEG, a WebP's XMP."""
    for key in (KEY, "comment", "xmp"):
        value = info.get(key)
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if isinstance(text, str) and len(text) <= LARGEST_SCENE and text.startswith("{"):
            return text
    return None


def json_values(sheet: Sheet) -> Any:
    """The sheet as plain values, as they are in files."""
    return json.loads(sheet.to_json())
