from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sgkit.errors import InputError, ResourceError
from sgkit.runtime import files
from sgkit.runtime.files import atomic_directory, atomic_path, check_new, flush_files, is_temporary, remove_stale


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


HALF = """
import sys, time
from pathlib import Path
from sgkit.runtime.files import atomic_directory, atomic_path
with (atomic_path if sys.argv[2] == "file" else atomic_directory)(Path(sys.argv[1]) / "a.png") as path:
    (path if sys.argv[2] == "file" else path / "b").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["file", "folder"])
def writer(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that is writing a file or a folder to ``tmp_path``."""
    command = [sys.executable, "-c", HALF, str(tmp_path), request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere no process can be asked for")
def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    (name,) = names(tmp_path)
    assert is_temporary(name)
    assert remove_stale(tmp_path) == []  # it is at work
    writer.kill()
    writer.wait()
    files._remove_stale_once.cache_clear()
    with atomic_path(tmp_path / "other.png") as path:
        path.write_text("done")
    assert names(tmp_path) == ["other.png"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere the start of a process is not known")
def test_a_number_that_another_process_got_since_is_no_excuse(tmp_path: Path) -> None:
    own = files._temporary(tmp_path / "a.png").name
    stale = own.replace(f"-{files._started(os.getpid())}-", "-1-")
    (tmp_path / own).touch()
    (tmp_path / stale).touch()
    assert remove_stale(tmp_path) == [stale]


def test_of_other_machines_only_what_is_old_is_removed(tmp_path: Path) -> None:
    new, old = (tmp_path / f".a.000000-1-5-{digits}.tmp.png" for digits in ("000001", "000002"))
    new.touch()
    old.mkdir()
    os.utime(old, (0, 0))
    (tmp_path / ".a.tmp.png").touch()  # not ours
    (tmp_path / ".hidden").touch()
    assert remove_stale(tmp_path) == [old.name]


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    target = tmp_path / ("\u00fc" * 125 + ".png")
    with atomic_path(target) as path:
        path.write_text("done")
    assert target.read_text() == "done"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "a.bin: the disk is full. Free some space"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "a.bin: the disk is full. Free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "a.bin: your disk quota is used up"),
    ],
)
def test_faults_of_the_disk_name_the_file_that_was_meant(tmp_path: Path, error: Exception, text: str) -> None:
    with pytest.raises(ResourceError) as caught, atomic_path(tmp_path / "a.bin"):
        raise error
    assert f"Cannot write {tmp_path}" in str(caught.value)
    assert text in str(caught.value)
    assert names(tmp_path) == []


def test_other_errors_pass(tmp_path: Path) -> None:
    for error in (OSError(errno.ENOENT, "No such file", "input.png"), MemoryError(), ValueError("x"), InputError("y")):
        with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "a.bin"):
            raise error
        assert caught.value is error


def test_a_full_disk_is_recognised_where_a_library_hides_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FULL", 1 << 62)
    with pytest.raises(ResourceError, match="the disk is full"), atomic_path(tmp_path / "a.bin"):
        raise OSError(errno.EIO, "Input/output error")


def test_many_files_are_flushed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(files, "flush", lambda path: flushed.append(path.name))
    targets = [tmp_path / "many" / name for name in ("a", "b")]
    for target in targets:
        with atomic_path(target, flushed=False) as path:
            path.write_text("done")
    assert names(tmp_path / "many") == ["a", "b"]
    assert flushed == []
    flush_files(targets)
    assert flushed == ["a", "b", "many"]

    def refuse(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "flush", refuse)
    with pytest.raises(ResourceError, match=r"Cannot write .*many.a: the disk is full"):
        flush_files(targets)


def test_one_rule_for_what_exists(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_new(tmp_path / "new")
    check_new(tmp_path / "empty")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link", "."):
        with pytest.raises(InputError, match=r"exists already; nothing was changed.*--force"):
            check_new(tmp_path / name)
        check_new(tmp_path / name, overwrite=True)


def test_a_folder_is_overwritten_only_where_nothing_is_lost(tmp_path: Path) -> None:
    def write(*new: str, own: str | None = None) -> None:
        with atomic_directory(tmp_path / "out", overwrite=True, own=re.compile(own) if own else None) as path:
            for name in new:
                (path / name).write_text("new")

    write("1", "2")
    write("1", "2", "3")
    with pytest.raises(InputError, match="was not overwritten: it also holds 3"):
        write("1")
    write("1", own=r"\d")
    assert names(tmp_path / "out") == ["1"]
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(InputError, match="precious"):
        write("1", own=r"\d")
    assert names(tmp_path / "out") == ["1", "precious"]
    assert names(tmp_path) == ["out"]
