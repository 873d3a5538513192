from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgkit.errors import ConfigError
from sgkit.store.preparing.selection import Candidates, choose, parse_split, share
from sgkit.store.sources import Source, open_source

SPLIT = "train=0.6,val=0.3,test=0.1"


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_candidates_are_the_items_of_the_sources_end_to_end(lengths: list[int]) -> None:
    candidates = Candidates(lengths, range(sum(lengths)))
    assert list(candidates) == [(source, item) for source, length in enumerate(lengths) for item in range(length)]


@given(total=st.integers(0, 50), num_parts=st.integers(1, 9))
@settings(max_examples=50)
def test_parts_end_to_end_are_the_whole_and_nearly_equal(total: int, num_parts: int) -> None:
    candidates = Candidates([total], range(total))
    parts = [list(share(candidates, part, num_parts)) for part in range(num_parts)]
    assert [item for part in parts for item in part] == list(candidates)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return [open_source(f"sample:landscapes?count={count}", size=(4, 4)) for count in (300, 200)]


def test_limit_takes_the_first_and_shuffles_before(sources: list[Source]) -> None:
    assert list(choose(sources, limit=301))[-1] == (1, 0)
    mixed = list(choose(sources, shuffle_seed=1))
    assert mixed == list(choose(sources, shuffle_seed=1))
    assert mixed != list(choose(sources, shuffle_seed=2))
    assert sorted(mixed) == list(choose(sources))
    assert list(choose(sources, shuffle_seed=1, limit=7)) == mixed[:7]


def test_the_subsets_of_a_split_are_the_whole_in_about_their_shares(sources: list[Source]) -> None:
    found = {name: list(choose(sources, split=SPLIT, subset=name)) for name in parse_split(SPLIT)}
    assert sorted(candidate for subset in found.values() for candidate in subset) == list(choose(sources))
    # Landscapes of both sources have the same names, which fall to the same subset: as if there were 300.
    for name, expected in parse_split(SPLIT).items():
        assert len(found[name]) / 500 == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 300))


def test_another_file_moves_no_other(tmp_path: Path) -> None:
    def names(subset: str) -> set[str]:
        source = open_source(str(tmp_path), size=(4, 4))
        return {source[item].name for _, item in choose([source], split=SPLIT, subset=subset)}

    for index in range(40):
        (tmp_path / f"{index:02d}.png").touch()
    before = {name: names(name) for name in parse_split(SPLIT)}
    (tmp_path / "005.png").touch()
    after = {name: names(name) for name in parse_split(SPLIT)}
    assert all(before[name] <= after[name] for name in before)
    assert sum(map(len, after.values())) == 41


@pytest.mark.parametrize("text", ["", "train", "train=", "train=2", "train=0.5", "a=0.5,a=0.5", "a/b=1", "a=0,b=1"])
def test_a_wrong_split_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="split"):
        parse_split(text)
