"""Two thousand mutated files of every kind that sgkit reads, always the same ones; ``make fuzz`` tries others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.kinds import Kind, kinds
from tests.fuzz.run import Tally, fuzz, mutated, place

COUNT, LANES = 2000, 4
"""Files, and tests that share them, so that several processes do."""


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> list[Kind]:
    return kinds(tmp_path_factory.mktemp("good"))


def test_every_good_file_is_accepted(all_kinds: list[Kind], tmp_path: Path) -> None:
    assert len({kind.name for kind in all_kinds}) == len(all_kinds)
    for number, kind in enumerate(all_kinds):
        kind.open(place(kind, next(iter(kind.files.values())), tmp_path / str(number)))


def test_a_number_makes_the_same_file_again(all_kinds: list[Kind]) -> None:
    kind = all_kinds[0]
    assert mutated(kind, "0:1") == mutated(kind, "0:1") != mutated(kind, "0:2")


def test_every_kind_is_changed(all_kinds: list[Kind]) -> None:
    for kind in all_kinds:
        good = next(iter(kind.files.values()))
        assert any(mutated(kind, f"0:{index}") != good for index in range(5)), kind.name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each batch is opened in a forked process")
@pytest.mark.parametrize("lane", range(LANES))
def test_mutated_files_are_accepted_or_refused(lane: int, all_kinds: list[Kind], tmp_path: Path) -> None:
    tally = Tally()
    for outcome in fuzz(all_kinds, [f"0:{index}" for index in range(lane, COUNT, LANES)], keep=tmp_path):
        tally.add(outcome)
    print(tally.table())
    assert not tally.failures, f"see {tmp_path}: {tally.failures}"
