from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest

from sgkit.errors import InputError, UsageError
from sgkit.runtime import limits


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.VARIABLE, "1KiB")


@pytest.mark.parametrize(
    ("given", "size"), [("4GiB", 4 << 30), ("1.5g", 3 << 29), ("800 MiB", 800 << 20), ("10", 10), ("2KB", 2048)]
)
def test_the_environment_variable_sets_every_bound(monkeypatch: pytest.MonkeyPatch, given: str, size: int) -> None:
    monkeypatch.setenv(limits.VARIABLE, given)
    assert {limits.limit_of(kind) for kind in limits.KINDS} == {size}


@pytest.mark.parametrize("given", ["much", "-1", "0", "nan", "1e9", "4XB", "9" * 400])
def test_a_bound_that_is_not_a_size_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(limits.VARIABLE, given)
    with pytest.raises(UsageError, match=r"SGKIT_MAX_FILE_SIZE is .*Use a size such as 4GiB"):
        limits.limit_of("image")


class Endless:
    made = 0

    def read(self, size: int, /) -> bytes:
        self.made += size
        return b"\0" * size


def test_a_stream_is_read_up_to_its_bound_and_no_further() -> None:
    stream = Endless()
    with pytest.raises(limits.TooLargeError, match=r"a.png has more than 1.0 KiB; the limit for one image file is 1.0"):
        limits.read_stream(stream, name="a.png", kind="image")
    assert stream.made == 1025
    assert limits.read_stream(io.BytesIO(b"x" * 1024), name="a", kind="image") == b"x" * 1024


@pytest.mark.parametrize(("declared", "message"), [(1 << 40, "has 1,024.0 GiB"), (-1, "negative size")])
def test_a_declared_size_is_refused_before_anything_is_read(declared: int, message: str) -> None:
    stream = Endless()
    with pytest.raises(limits.TooLargeError, match=message):
        limits.read_stream(stream, name="a", kind="table", declared=declared)
    assert stream.made == 0


def test_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(limits.TooLargeError, match=r"8.0 GiB.*SGKIT_MAX_FILE_SIZE=8193MiB"):
        limits.read_file(tmp_path / "sparse", kind="image")


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    path = Path("/dev/zero") if kind == "device" else Path("it")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    Path("link").symlink_to(path)
    for given in (path, Path("link")):
        with pytest.raises(limits.NotAFileError, match=f"is a {kind}; only regular files are read"):
            limits.read_file(given, kind="image")


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "sub/../../outside", "link", "a\0b", "loop"])
def test_a_table_names_files_of_its_own_folder_only(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "outside").touch()
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(OSError, match=r"outside|not a usable path|[Ss]ymlink|[Ll]oop|symbolic links"):
        limits.open_regular(limits.resolve_inside(folder, name))


def test_a_file_in_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    for name in ("a.png", "./a.png", "sub/../a.png", str(tmp_path / "a.png")):
        assert limits.read_file(limits.resolve_inside(tmp_path, name), kind="image") == b"x"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_every_unicode_encoding(encoding: str) -> None:
    assert limits.parse_json('{"é": 1}'.encode(encoding), name="x") == {"é": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 10, "x is not valid JSON"),
        (b"\xff\xfe\0", "x is not valid JSON"),
        (b"9" * 9999, "x is not valid JSON"),
        (b"[" * 100000, "nested too deeply|not valid JSON"),
        (b"[" + b"[]," * 30 + b"[]]", "62 values; the limit for one JSON file"),
    ],
)
def test_hostile_json_is_refused(data: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not data.endswith(b"]"):
        monkeypatch.delenv(limits.VARIABLE)
    with pytest.raises(InputError, match=message):
        limits.parse_json(data, name="x")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no files without a size")
def test_a_file_that_does_not_tell_its_size_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(limits.VARIABLE)
    assert b"VmRSS" in limits.read_file("/proc/self/status", kind="table")
