"""The gallery shows what its script makes, with the commands that the script runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "_pictures" / "gallery.py"))
PAGES = {
    page: page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
GALLERY = PAGES[ROOT / "docs" / "gallery.md"]
LARGEST_SUM = 3_000_000
WITH_PICTURES = [
    "README.md",
    "docs/index.md",
    "docs/expect.md",
    "docs/generating.md",
    "docs/replay.md",
    "docs/projecting.md",
    "docs/panoramas.md",
    "docs/metrics.md",
    "docs/python.md",
    "docs/blending.md",
    "docs/editing.md",
    "docs/training.md",
    "docs/data.md",
    "docs/models/landscapes.md",
    "docs/concepts/latents.md",
    "docs/concepts/walk.md",
    "docs/concepts/edits.md",
    "docs/concepts/noise.md",
    "docs/concepts/augmentation.md",
]


def test_faces_are_shown_with_the_commands_that_the_script_runs() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "_pictures" / "faces.py"))
    assert {*script["COMMANDS"], *script["EDITS"]} <= set(PAGES[ROOT / "docs" / "faces.md"].splitlines())


@pytest.mark.parametrize("name", SCRIPT["COMMANDS"])
def test_the_gallery_shows_the_commands_that_the_script_runs(name: str) -> None:
    given = SCRIPT["COMMANDS"][name]
    for line in [given] if isinstance(given, str) else given:
        assert line in GALLERY.splitlines()
    assert f"(images/{name}.webp)" in GALLERY


def test_images_are_small_described_and_all_shown() -> None:
    files = list((ROOT / "docs" / "images").iterdir())
    assert sum(file.stat().st_size for file in files) < LARGEST_SUM
    shown: dict[Path, str] = {}
    for page, text in PAGES.items():
        for description, target in re.findall(r"!\[([^\]]*)\]\(([\w./-]+)\)", text):
            assert len(description) > 20, (page, target)
            shown[(page.parent / target).resolve()] = description
    assert set(files) <= set(shown)
    assert all(file.is_file() for file in shown)
    for file in (file for file in files if file.suffix != ".svg"):
        with Image.open(file) as image:
            assert min(image.size) >= 128


@pytest.mark.parametrize("page", WITH_PICTURES)
def test_pages_that_speak_of_pictures_show_one(page: str) -> None:
    assert "![" in PAGES[ROOT / page]
