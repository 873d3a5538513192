from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from sgkit.cli.options import (
    Layers,
    Seeds,
    Size,
    overrides,
    parse_duration,
    parse_gib,
    parse_kimg,
    parse_layers,
    parse_seeds,
    parse_size,
)
from sgkit.config import TrainConfig, override
from sgkit.errors import ConfigError, InputError, UsageError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0,3,7-12", [0, 3, 7, 8, 9, 10, 11, 12]), ("5,5", [5, 5]), (" 1 , 2 - 3 ", [1, 2, 3]), ("4-4", [4])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert list(parse_seeds(text)) == seeds


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_any_list_of_seeds_reads_back(seeds: list[int]) -> None:
    assert list(parse_seeds(",".join(map(str, seeds)))) == seeds


@given(st.text(max_size=12))
def test_seeds_are_read_or_refused_never_else(text: str) -> None:
    with suppress(typer.BadParameter):
        assert len(parse_seeds(text)) >= 1


@pytest.mark.parametrize("text", ["", "a", "1,", "-3", "1-", "1.5", "1 2", "1--2"])
def test_bad_seeds_show_the_form(text: str) -> None:
    with pytest.raises(
        typer.BadParameter, match=r"Not a list of seeds: .*\. Use numbers and ranges, for example 0,3,7-12\."
    ):
        parse_seeds(text)


def test_backward_ranges_are_turned_around_in_the_message() -> None:
    with pytest.raises(typer.BadParameter, match=r"The range '9-3' is reversed\. Write it 3-9"):
        parse_seeds("1,9-3")


def test_seeds_have_a_largest() -> None:
    assert parse_seeds("4294967295") == (4294967295,)
    with pytest.raises(typer.BadParameter, match="Seed 4294967296 is too large; the largest is 4294967295"):
        parse_seeds("4294967296")


def test_a_slip_does_not_fill_the_memory() -> None:
    with pytest.raises(typer.BadParameter, match="more than 1,000,000 seeds"):
        parse_seeds("0-4000000000")


def test_layers_are_sorted_and_unique() -> None:
    assert parse_layers("6,0-2,1") == (0, 1, 2, 6)
    with pytest.raises(typer.BadParameter, match="Not a list of layers: 'all'"):
        parse_layers("all")


@pytest.mark.parametrize(("text", "height", "width"), [("64", 64, 64), ("448x256", 256, 448), ("448 X 256", 256, 448)])
def test_sizes_are_width_by_height_outside_and_height_first_inside(text: str, height: int, width: int) -> None:
    assert parse_size(text) == Size(height, width)
    assert parse_size(str(parse_size(text))) == parse_size(text)


@pytest.mark.parametrize("text", ["", "0", "64x", "x64", "64x0", "-64", "6.4", "64x64x3", "9999999"])
def test_bad_sizes_show_the_form(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"Not a size: .*\. Use the side of a square \(64\) or WIDTHxHEIGHT"):
        parse_size(text)


def test_defaults_pass_through_their_parser() -> None:
    assert parse_seeds(Seeds((1, 2))) == (1, 2)
    assert parse_layers(Layers((1,))) == (1,)
    assert parse_size(Size(2, 3)) == Size(2, 3)


def test_settings_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("batch = 8\nr1_gamma = 5.0\n[synthesis]\nchannel_base = 1024\n")
    found = overrides(file, ["batch=16", "seed = 3", "note=a=b"])
    assert found == {"batch": "16", "r1_gamma": 5.0, "synthesis.channel_base": 1024, "seed": "3", "note": "a=b"}


def test_overrides_fit_the_configuration(tmp_path: Path) -> None:
    assert override(TrainConfig(), overrides(None, ["batch=16", "micro_batch=none"])).batch == 16
    with pytest.raises(ConfigError, match=r"Unknown configuration key 'bach'\. Did you mean 'batch'\?"):
        override(TrainConfig(), overrides(None, ["bach=16"]))


@pytest.mark.parametrize("setting", ["batch", "=3", ""])
def test_settings_without_key_and_value_are_refused(setting: str) -> None:
    with pytest.raises(UsageError, match="is not of the form key=value"):
        overrides(None, [setting])


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read configuration .*none.toml: No such file"):
        overrides(tmp_path / "none.toml", [])
    (tmp_path / "bad.toml").write_text("batch = = 3")
    with pytest.raises(ConfigError, match=r"bad.toml is not valid TOML"):
        overrides(tmp_path / "bad.toml", [])


@pytest.mark.parametrize(
    ("text", "seconds"), [("11.5h", 41400), ("30m", 1800), ("90s", 90), (" 2 D ", 172800), ("45", 45), ("0.5 min", 30)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_thousands_of_images_and_memory() -> None:
    assert [parse_kimg(text) for text in ("50", "50kimg", "0.5 kimg", 2.5)] == [50, 50, 0.5, 2.5]
    assert [parse_gib(text) for text in ("8GiB", "8G", "8", "512MiB")] == [8, 8, 8, 0.5]


@pytest.mark.parametrize("parse", [parse_duration, parse_kimg, parse_gib])
@pytest.mark.parametrize("text", ["", "many", "-1", "0", "1e3", "3 fortnights", "1.2.3"])
def test_quantities_that_are_none_show_the_form(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"Not an? .*: .*\. Write it like "):
        parse(text)
