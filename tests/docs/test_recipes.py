"""The page on recipes says what the presets have, and explains where that is not what paper or code have."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from sgkit.config.presets import PRESETS

SPEC = importlib.util.spec_from_file_location("recipes_page", Path(__file__).parent / "recipes.py")
assert SPEC is not None
assert SPEC.loader is not None
recipes = importlib.util.module_from_spec(SPEC)
sys.modules["recipes_page"] = recipes
SPEC.loader.exec_module(recipes)

OWN = {"self-modulated", "batch-norm", "stylegan2-64", "stylegan2-32", "stylegan2-mini"}
RATES = {"train.g_lr", "train.d_lr"}
"""Shown as what Adam gets."""
ROWS = [(section, row) for section in recipes.SECTIONS for row in section.rows]


def test_the_page_is_up_to_date() -> None:
    assert recipes.PAGE.read_text("utf8") == recipes.page(), "Run: python tests/docs/recipes.py"


def test_every_preset_is_in_a_section() -> None:
    assert {name for section in recipes.SECTIONS for name in section.presets} == set(PRESETS) - OWN


@pytest.mark.parametrize(("section", "row"), ROWS, ids=lambda value: getattr(value, "name", None) or value.title)
def test_differences_are_explained(section: recipes.Section, row: recipes.Row) -> None:  # type: ignore[name-defined]
    differing = [
        name
        for name in recipes.names(section, row)
        for fact in (recipes.of(row.code, name), recipes.of(row.paper, name))
        if fact is not None and not recipes.same(recipes.values(row, name), fact)
    ]
    assert bool(differing) == bool(row.why), differing


@pytest.mark.parametrize("section", recipes.SECTIONS, ids=lambda section: section.title)
def test_nothing_that_is_special_to_a_preset_is_left_out(section: recipes.Section) -> None:  # type: ignore[name-defined]
    for name in section.presets:
        told = {key for row in section.rows if name in recipes.names(section, row) for key in row.keys}
        told |= RATES if {"rate of G", "rate of D"} <= told else set()
        assert recipes.special(name) <= told, name
