from __future__ import annotations

from pathlib import Path

import pytest

from sgkit.runtime.model_names import find_model, split_name


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("m", "d", "e", "a+b", "x+y+z", "sub/d"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "base", "delta"),
    [
        ("m", "m", None),
        ("a+b", "a+b", None),
        ("x+y+z", "x+y+z", None),
        ("m+d", "m", "d"),
        ("landscapes+d", "landscapes", "d"),
        ("m+sub/d", "m", "sub/d"),
        ("./m+./d", "./m", "./d"),
        ("m+a+b", "m", "a+b"),
        ("a+b+d", "a+b", "d"),
        ("m+d+e", "m+d", "e"),
        ("a+b+x+y+z", "a+b", "x+y+z"),
        ("m+gone", "m", "gone"),
        ("gone+d", "gone", "d"),
        ("gone+lost", "gone+lost", None),
        ("+d", "+d", None),
        ("m+", "m+", None),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_plus_joins_files_unless_it_is_in_a_name(given: str, base: str, delta: str | None) -> None:
    found = split_name(given)
    assert (found.base, found.delta) == (base, None if delta is None else Path(delta))


def test_recorded_names_are_found_beside_the_image(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert find_model("m+d", here) == Path(f"{here}/m+{here}/d")
    assert find_model("landscapes+d", here) == Path(f"landscapes+{here}/d")
    assert find_model("a+b", here) == here / "a+b"
    assert find_model("m+gone", here) is None


def test_a_name_of_nothing_but_joints_takes_no_time() -> None:
    assert split_name("+" * 100_000).delta is None
