from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sgkit.errors import InputError
from sgkit.runtime.files import atomic_directory, atomic_path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_path(target) as aside:
        aside.write_text("done")
        assert not target.exists()
        assert aside.parent == target.parent
    assert target.read_text() == "done"
    assert names(target.parent) == ["a.txt"]


def test_suffix_is_kept_for_savers_that_look_at_it(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "w.npz") as aside:
        np.savez(aside, w=np.arange(3))
    assert np.load(tmp_path / "w.npz")["w"].tolist() == [0, 1, 2]


def test_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; give the name of a file"), atomic_path(tmp_path):
        pass


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match=r"a is not a folder"), atomic_path(tmp_path / "a" / "b.txt"):
        pass


@pytest.mark.parametrize("exists", [False, True])
def test_directory_appears_when_the_block_ends(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "out"
    if exists:
        target.mkdir()
    with atomic_directory(target) as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "a.txt").write_text("done")
        assert not (target / "sub").exists()
    assert (target / "sub" / "a.txt").read_text() == "done"
    assert names(tmp_path) == ["out"]


def test_directory_is_removed_on_failure(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_directory(tmp_path / "out") as aside:
            (aside / "a.txt").write_text("half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  (raised above, without text)
        write_half()
    assert names(tmp_path) == []


def test_directory_with_something_in_it_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    with pytest.raises(InputError, match="exists already"), atomic_directory(tmp_path / "out"):
        pass
    assert names(tmp_path / "out") == ["precious"]
