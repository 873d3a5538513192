from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgkit.reports.charts import Chart, Curve, Mark
from sgkit.reports.pages import Figure, Page, Section, Table, TimeLapse, figure, preview, render_page
from tests.html_page import ParsedPage

HOSTILE = "<script>alert(1)</script>\"'&\x1b\u202e\n{{ 7 * 7 }}"


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def decoded(figure: Figure) -> np.ndarray:
    with Image.open(io.BytesIO(figure.data)) as image:
        return np.asarray(image)


def test_a_page_holds_its_images_and_links_to_its_sections(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((4, 6, 3), np.uint8))
    figures = [figure(path, 'a "caption"', enlarge=3), figure(path, "narrow", width=3)]
    sections = [
        Section(title="One & <two>", commands=["sgkit info 'a<b>.png'"], figures=figures, facts={"size": "6x4"}),
        Section(title="Plain", text="words", seconds=75.2, details=("More", "x = '<1>'")),
    ]
    text = render_page(Page(title="A <title>", lead="lead", sections=sections, numbered=True))
    page = ParsedPage(text)
    assert "<script" not in text
    assert page.texts["h2"] == ["One & <two>", "Plain"]
    assert page.texts["span"] == ["1", "2", "1 min 15 s"]
    assert [(image["width"], image["height"]) for image in page.images] == [("18", "12"), ("3", "2")]
    assert page.images[0]["alt"] == 'a "caption"'
    data = str(page.images[0]["src"]).removeprefix("data:image/png;base64,")
    assert base64.b64decode(data) == path.read_bytes()


def test_every_text_is_escaped_and_printable(tmp_path: Path) -> None:
    shown = figure(save(tmp_path / "a.png", np.zeros((4, 6, 3), np.uint8)), HOSTILE)
    chart = Chart(
        title=HOSTILE,
        note=HOSTILE,
        x_unit=HOSTILE,
        curves=[Curve(name=HOSTILE, points=[(0, 1), (1, 2)])],
        marks=[Mark(x=0.5, text=HOSTILE)],
    )
    section = Section(
        title=HOSTILE,
        text=HOSTILE,
        commands=[HOSTILE],
        facts={HOSTILE: HOSTILE},
        figures=[shown],
        lapse=TimeLapse(frames=[shown], beside=shown),
        charts=[chart],
        table=Table(columns=[HOSTILE], rows=[[HOSTILE]], title=HOSTILE),
        details=(HOSTILE, HOSTILE),
    )
    text = render_page(Page(title=HOSTILE, lead=HOSTILE, sections=[section], facts={HOSTILE: HOSTILE}))
    page = ParsedPage(text)
    assert "<script>alert" not in text
    assert text.count("<script") == 1  # its own
    assert not {"\x1b", "\u202e"} & set(text)
    assert "{{ 7 * 7 }}" in page.texts["h1"][0]
    assert len(page.images) == 3
    assert text.count("\n{{") == 1  # only a text of details has lines


def test_a_table_marks_a_row_and_folds_away() -> None:
    table = Table(columns=["a", "b"], rows=[["1", "2"], ["3", "4"]], title="More", wrapped="b", marked=1)
    text = render_page(Page(title="", lead="", sections=[Section(title="t", table=table)]))
    assert ParsedPage(text).texts["td"] == ["1", "2", "3", "4"]
    assert '<tr class="marked"><td>3</td><td class="wrapped">4</td></tr>' in text
    assert "<summary>More</summary>" in text


def test_white_gaps_and_cells_become_transparent(tmp_path: Path) -> None:
    pixels = np.full((9, 14, 3), 255, np.uint8)
    pixels[5:, :4] = pixels[:4, 5:9] = pixels[5:, 5:9] = pixels[5:, 10:] = 7
    expected = pixels[:, :, 0] == 255
    pixels[6, 6] = 255  # a white pixel of an image stays
    shown = decoded(figure(save(tmp_path / "a.png", pixels), ""))
    np.testing.assert_array_equal(shown[:, :, 3] == 0, expected)


def test_previews_are_small(tmp_path: Path) -> None:
    small = save(tmp_path / "small.png", np.zeros((4, 6, 3), np.uint8))
    assert preview(small, "").data == small.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)
    large = preview(save(tmp_path / "large.png", noise), "", max_side=200)
    assert (large.kind, large.width, large.height) == ("image/webp", 200, 100)
    save(tmp_path / "large.png", noise[:, :300])
    assert preview(tmp_path / "large.png", "", max_side=200).height == 200  # of the file as it is now
    (tmp_path / "large.png").write_bytes(b"no image")
    with pytest.raises(OSError, match="cannot identify"):
        preview(tmp_path / "large.png", "")
