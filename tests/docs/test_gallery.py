"""The gallery shows what its script makes, with the commands that the script runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "_pictures" / "gallery.py"))
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
LARGEST_SUM = 1_000_000


@pytest.mark.parametrize("name", SCRIPT["COMMANDS"])
def test_the_page_shows_the_command_that_the_script_runs(name: str) -> None:
    assert SCRIPT["COMMANDS"][name] in PAGE.splitlines()
    assert f"(images/{name}.webp)" in PAGE


def test_images_are_small_described_and_all_shown() -> None:
    files = list((ROOT / "docs" / "images").iterdir())
    assert sum(file.stat().st_size for file in files) < LARGEST_SUM
    shown = dict(re.findall(r"!\[([^\]]+)\]\(images/([\w.]+)\)", PAGE))
    assert {file.name for file in files} == set(shown.values())
    assert all(len(text) > 20 for text in shown)
    for file in files:
        with Image.open(file) as image:
            assert min(image.size) >= 128
