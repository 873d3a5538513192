"""HTML pages from plain data: sections of text, commands, facts, images, charts and tables in one file.

The demo's page and the report of a training run are made of these parts. A page loads nothing from anywhere: images are
inside it. It can be read without its script, in light and dark, on a desktop and on a phone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sgkit.reports.charts import Chart, draw
from sgkit.text import printable

KINDS = {".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}
SMALL_FILE = 64 * 1024
"""Bytes of an image that a preview does not compress."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An image with its caption."""

    data: bytes
    kind: str
    """Its media type, for example ``image/png``."""
    width: int
    """Pixels on the page."""
    height: int
    caption: str
    is_enlarged: bool = False
    """Shown with hard edges between its pixels."""
    turns: bool = False
    """Moves past without end: its left and right edges join."""

    def sized(self, *, width: int | None = None, height: int | None = None) -> Figure:
        """The same image, this wide or high on the page."""
        factor = width / self.width if width else (height or self.height) / self.height
        return replace(self, width=round(self.width * factor), height=round(self.height * factor))

    @property
    def source(self) -> str:
        """The image as a data URI."""
        return f"data:{self.kind};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True, kw_only=True)
class TimeLapse:
    """Images of the same thing over time, to be browsed, beside one that stays."""

    frames: Sequence[Figure]
    beside: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under headings."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    """If given, the table is folded away under it."""
    wrapped: str = ""
    """The column whose text may wrap."""
    marked: int | None = None
    """Index of a row that stands out."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page, under a heading; what it has is shown in this order."""

    title: str
    text: str = ""
    commands: Sequence[str] = ()
    """What to type to do the same."""
    facts: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    lapse: TimeLapse | None = None
    charts: Sequence[Chart] = ()
    table: Table | None = None
    details: tuple[str, str] | None = None
    """A title, and a text folded away under it."""
    seconds: float | None = None
    """How long it took."""

    @property
    def anchor(self) -> str:
        """Its id in the page."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page."""

    title: str
    lead: str
    """A sentence under the title."""
    sections: Sequence[Section]
    commands: Sequence[str] = ()
    """What to type next."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Names and values shown at the top."""
    reload_seconds: int | None = None
    """Have the browser load the page again after this time, while something still writes it; ``None``: never."""
    numbered: bool = False
    """Whether the sections are steps."""
    hero: Figure | None = None
    """An image above everything."""

    @property
    def needs_script(self) -> bool:
        """Whether there is something to browse or to point at."""
        return any(section.lapse or section.charts for section in self.sections)


def figure(path: Path, caption: str, *, enlarge: int = 1, width: int | None = None) -> Figure:
    """The image in ``path``, ``enlarge`` times as large or ``width`` pixels wide. White gaps become transparent."""
    with Image.open(path) as image:
        own_width, own_height = image.size
        clear = None if getattr(image, "is_animated", False) else _without_gaps(image)
        data = path.read_bytes() if clear is None else _encoded(clear, "PNG", optimize=True)
    shown = width or own_width * enlarge
    return Figure(
        data=data,
        kind=KINDS[path.suffix],
        width=shown,
        height=round(own_height * shown / own_width),
        caption=caption,
        is_enlarged=enlarge > 1,
    )


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _without_gaps(image: Image.Image) -> Image.Image | None:
    """The image with white gaps and cells made transparent, since they glare in dark pages; ``None``: it has none."""
    pixels = np.array(image.convert("RGBA"))
    white = (pixels == 255).all(axis=2)
    rows, columns = white.all(axis=1), white.all(axis=0)
    if not (rows.any() or columns.any()):
        return None
    clear = rows[:, None] | columns[None, :]
    for row in _stretches(~rows):
        for column in _stretches(~columns):
            clear[row, column] |= white[row, column].all()
    pixels[clear] = 0
    return Image.fromarray(pixels)


def _stretches(inside: NDArray[np.bool_]) -> list[slice]:
    """The ranges over which ``inside`` is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return [slice(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def preview(path: Path, caption: str, *, max_side: int = 1024) -> Figure:
    """The image in ``path``, as WebP unless its file is small, and no larger than ``max_side``, without white gaps.

    Raises:
        OSError, SyntaxError: it is not there or not an image.
    """
    stat = path.stat()
    data, kind, width, height = _preview(path, max_side, stat.st_mtime_ns, stat.st_size)
    return Figure(data=data, kind=kind, width=width, height=height, caption=caption)


@lru_cache(maxsize=64)  # a training run writes its report again and again, with the same images in it
def _preview(path: Path, max_side: int, modified: int, size: int) -> tuple[bytes, str, int, int]:  # noqa: ARG001
    with Image.open(path) as image:
        clear = _without_gaps(image)
        if clear is None and size <= SMALL_FILE and max(image.size) <= max_side:
            return path.read_bytes(), KINDS[path.suffix], *image.size
        shown = clear or image
        shown.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        return _encoded(shown, "WEBP", quality=88, method=2), KINDS[".webp"], *shown.size


def render_page(page: Page) -> str:
    """``page`` as HTML. Every text in it is escaped and printable."""
    return environment().get_template("page.html").render(page=page)


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The templates of all pages."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sgkit.reports"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": _duration, "draw": draw, "lines": _Lines}
    return environment


class _Lines(str):
    """Text of several lines."""


def _shown(value: object) -> object:
    """``value`` on one line, without control characters and direction overrides, before it is escaped."""
    if hasattr(value, "__html__"):  # markup, which a template made
        return value
    text = str(value)
    return printable(text, limit=max(len(text), 1), lines=isinstance(value, _Lines))


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"
