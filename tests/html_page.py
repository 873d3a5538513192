"""Reading the pages that sgkit writes."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class ParsedPage(HTMLParser):
    """What a page shows. Its tags must close in order, and it may load nothing."""

    VOID = frozenset({"meta", "img", "br", "input", "line", "polyline", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str | None] = []
        self.ids: list[str | None] = []
        self.texts: dict[str, list[str]] = {}
        """Tag -> the texts right inside it; of ``code``, all words inside it."""
        self.feed(text)
        self.close()
        assert self.open == []
        assert all(str(image["src"]).startswith("data:image/") for image in self.images)
        assert self.links == [f"#{name}" for name in self.ids]
        assert not re.search(r"https?:|@import|url\((?!data:)", text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert tag not in ("link", "iframe", "object", "base")
        assert "src" not in values or tag == "img"
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "code":
            self.texts.setdefault(tag, []).append("")
        if tag == "img":
            self.images.append(values)
        if tag == "a":
            self.links.append(values["href"])
        if "id" in values:
            self.ids.append(values["id"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "code" in self.open:
            self.texts["code"][-1] += data
        elif self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())
