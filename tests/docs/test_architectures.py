"""The table of presets says what the networks are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from sgkit.config.presets import PRESETS, preset
from sgkit.model import Discriminator, Generator

PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"
ROWS = {
    name: (float(g), float(d))
    for name, g, d in re.findall(r"^\| `([\w-]+)` \|.*\| ([\d.]+) \| ([\d.]+) \|", PAGE.read_text("utf8"), re.MULTILINE)
}


def test_every_preset_has_a_row() -> None:
    assert list(ROWS) == list(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_counted_rightly(name: str) -> None:
    config = preset(name, image_size=(1024, 1024)).model
    with torch.device("meta"):
        networks = Generator(config), Discriminator(config)
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert [round(count / 1e6, 2) for count in counts] == list(ROWS[name])


def test_every_golden_case_is_named() -> None:
    cases = {path.parent.name for path in (Path(__file__).parents[1] / "fixtures").glob("*/case.json")}
    named = set(re.findall(r"`((?:tf|ada|rosi|sg3|soat)_\w+)`", PAGE.read_text("utf8")))
    assert named == {case for case in cases if not case.startswith("luci") and case != "malicious"}
