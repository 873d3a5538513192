"""The page that shows a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what the page refers to."""

    EMPTY = frozenset({"meta", "img", "link", "br", "input", "line", "polyline", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.frames: list[list[str]] = []
        self.headings: list[str] = []
        self.charts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.references += [str(values[name]) for name in ("src", "href") if values.get(name)]
        if values.get("data-frames"):
            self.frames = json.loads(str(values["data-frames"]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.EMPTY

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if self.open and self.open[-1] == "strong":
            self.charts.append(data)


@pytest.mark.usefixtures("cheap_features")
def test_the_report_shows_samples_curves_health_data_and_configuration(
    tmp_path: Path, new_run: Callable[..., int]
) -> None:
    run = tmp_path / "run"
    options = ["--metrics", "fd_effnet", "--set", "metrics.num_images=6", "--kimg", "0.040"]
    assert new_run(run, *options) == 0
    (run / "images" / "fakes_000000.900.png").write_bytes(b"of a future that did not come")
    assert new_run(run, *options, "--resume") == 0  # complete: written again, nothing else
    text = (run / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.headings == ["Samples", "Metrics", "Curves", "Health", "Data", "Configuration"]
    assert {"Losses", "Path length", "fd_effnet", "Diversity of samples"} <= set(page.charts)
    assert "stylegan2-32, 0.04 kimg: complete." in text
    assert "Nothing happened that is worth telling." in text
    assert "channel_base = 64" in text
    assert "16x8, 3 channels" in text
    assert [name for name, _ in page.frames] == [
        f"images/fakes_{name}.png" for name in ("000000.000", "000000.016", "000000.032", "000000.040")
    ]
    for reference in page.references:
        assert reference.startswith("#") or (run / reference).is_file()
    assert not re.search(r"https?://", text)  # no server is asked for anything


def test_names_are_escaped(tmp_path: Path, new_run: Callable[..., int]) -> None:
    run = tmp_path / "<b>run"
    assert new_run(run, "--kimg", "0.008") == 0
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "<b>run" not in text
    assert "&lt;b&gt;run" in text
