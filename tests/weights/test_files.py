from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sgkit.errors import InputError, ResourceError, UsageError, WeightsError
from sgkit.runtime.progress import Progress
from sgkit.weights import (
    WEIGHTS,
    Weights,
    add_weights,
    cache_folder,
    download,
    fetch_weights,
    fetching,
    files,
    weights_path,
    weights_status,
)

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """A loopback HTTP server, and how it shall misbehave."""

    url: str = ""
    content: bytes = CONTENT
    statuses: list[int] = field(default_factory=list)
    """Answer these first, one for each request."""
    cuts: list[int] = field(default_factory=list)
    """Break the connection after so many bytes, one for each request."""
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range header of each request."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Server()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/net.pth"
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def _handler(state: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start and start >= len(state.content):
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cuts.pop(0)] if state.cuts else body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def get(server: Server, path: Path, *, sha256: str = SHA256) -> Path:
    return download(server.url, path, sha256=sha256, pause=0)


def test_download(server: Server, tmp_path: Path) -> None:
    seen: list[Progress] = []
    path = tmp_path / "new" / "net.pth"
    found = download(server.url, path, sha256=SHA256, on_progress=seen.append)
    assert found == path
    assert path.read_bytes() == CONTENT
    assert not path.with_name("net.pth.part").exists()
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (len(CONTENT), len(CONTENT), "bytes")
    assert server.requests == [("/net.pth", None)]


def test_file_that_is_there_is_not_downloaded(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"here")
    assert get(server, tmp_path / "net.pth").read_bytes() == b"here"
    assert server.requests == []


def test_part_of_an_earlier_call_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT[:1000])
    assert get(server, tmp_path / "net.pth").read_bytes() == CONTENT
    assert server.requests == [("/net.pth", "bytes=1000-")]


def test_whole_part_is_only_checked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT)
    assert get(server, tmp_path / "net.pth").read_bytes() == CONTENT
    assert server.requests == [("/net.pth", f"bytes={len(CONTENT)}-")]


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "net.pth.part").write_bytes(b"something else")
    assert get(server, tmp_path / "net.pth").read_bytes() == CONTENT


def test_broken_connection_is_taken_up(server: Server, tmp_path: Path) -> None:
    server.cuts = [300_000, 200_000]
    assert get(server, tmp_path / "net.pth").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=300000-", "bytes=500000-"]


def test_connection_that_keeps_breaking_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000] * 4
    with pytest.raises(WeightsError, match=r"broke after 400000 of 1048576 bytes.*400000 bytes are kept"):
        get(server, tmp_path / "net.pth")
    assert not (tmp_path / "net.pth").exists()
    assert get(server, tmp_path / "net.pth").read_bytes() == CONTENT
    assert server.requests[-1] == ("/net.pth", "bytes=400000-")


def test_passing_errors_are_tried_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert get(server, tmp_path / "net.pth").read_bytes() == CONTENT


def test_wrong_content_is_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"not the expected file: its sha256 is {SHA256}, expected 00000000"):
        get(server, tmp_path / "net.pth", sha256="00000000")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == []


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_part_of_another_file_is_found_out(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "net.pth.part").write_bytes(part)
    assert get(server, tmp_path / "net.pth").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [f"bytes={len(part)}-", None]


def test_short_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1]
    with pytest.raises(WeightsError, match="is not the expected file"):
        get(server, tmp_path / "net.pth")
    assert not (tmp_path / "net.pth").exists()


FETCH = """
import sys
from pathlib import Path
from sgkit.weights import download
print(download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3]))
"""


def test_two_processes_download_once(server: Server, tmp_path: Path) -> None:
    words = [sys.executable, "-c", FETCH, server.url, str(tmp_path / "net.pth"), SHA256]
    running = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=60)[1] for process in running] == [b"", b""]
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert len(server.requests) == 1


class FullDisk:
    """A file on a disk that takes ``room`` bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_full_disk_leaves_nothing_half(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda *args, **options: FullDisk(opened(*args, **options), 500_000))
    with pytest.raises(ResourceError, match=r"disk of .* is full; the unfinished download was removed.*SGKIT_CACHE"):
        get(server, tmp_path / "net.pth")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
    assert len(server.requests) == 1, "a full disk is not tried again"


def test_too_little_space_is_told_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT[:1000])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match=r"has 0 MB free; the download needs 1 MB"):
        get(server, tmp_path / "net.pth")
    assert (tmp_path / "net.pth.part").stat().st_size == 1000


def test_missing_file_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [404] * 4
    with pytest.raises(WeightsError, match=r"127.0.0.1 answered 404 Not Found to http://127.0.0.1"):
        get(server, tmp_path / "net.pth")
    assert len(server.requests) == 1


def test_refused_connection(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Could not get http://127.0.0.1:1/x.*Check the connection to 127.0.0.1"):
        download("http://127.0.0.1:1/x", tmp_path / "x", sha256="00", pause=0)


def test_proxy_of_the_environment_is_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/net.pth"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    download("http://weights.invalid/net.pth", tmp_path / "net.pth", sha256=SHA256, pause=0)
    assert server.requests == [("http://weights.invalid/net.pth", None)]


def test_two_at_once_download_once(server: Server, tmp_path: Path) -> None:
    threads = [threading.Thread(target=get, args=(server, tmp_path / "net.pth")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------------- cache


@pytest.fixture
def entry(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    made = Weights(
        name="net",
        summary="A test",
        url=server.url,
        sha256=SHA256,
        licence="MIT",
        homepage="",
        used_by=("fid",),
        instead="Use another.",
    )
    monkeypatch.setitem(WEIGHTS, "net", made)
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path / "cache"))
    return made


def test_fetch_and_status(entry: Weights, tmp_path: Path, server: Server) -> None:
    assert weights_status("net").state == "missing"
    path = fetch_weights("net")
    assert path == weights_path("net") == tmp_path / "cache" / "weights" / "net.pth"
    status = weights_status("net")
    assert (status.state, status.size, status.sha256) == ("good", len(CONTENT), SHA256)
    assert fetch_weights("net") == path
    assert len(server.requests) == 1
    path.write_bytes(CONTENT[:-1])
    assert weights_status("net").state == "damaged"


def test_a_file_is_checked_when_it_is_used(entry: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_weights("net")
    read: list[Path] = []
    hashed = files.sha256_of
    monkeypatch.setattr(files, "sha256_of", lambda file: (read.append(file), hashed(file))[1])
    for _ in range(3):
        assert fetch_weights("net") == path
    assert read == [path], "hashed on first use in the process, and not again while it stays the same"
    path.write_bytes(CONTENT[:-1] + b"!")
    os.utime(path, ns=(1, 1))
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"net.pth is not the expected.* Remove it, then run .sgkit weights"):
            fetch_weights("net")
    path.write_bytes(CONTENT)
    assert fetch_weights("net") == path


def test_eight_digits_are_not_enough(entry: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_weights("net")
    monkeypatch.setattr(files, "sha256_of", lambda file: SHA256[:8] + "0" * 56)
    os.utime(path, ns=(1, 1))
    with pytest.raises(WeightsError, match="is not the expected file"):
        fetch_weights("net")


def test_fetch_without_connection_tells_the_way_by_hand(entry: Weights, server: Server) -> None:
    server.statuses = [404]
    expected = r"404.*on another machine.*sgkit weights add FILE.*--mirror or SGKIT_WEIGHTS_MIRROR.*Use another."
    with pytest.raises(WeightsError, match=expected):
        fetch_weights("net")


def test_mirrors_are_tried_first(
    entry: Weights, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = server.url.rpartition("/")[0]
    monkeypatch.setenv("SGKIT_WEIGHTS_MIRROR", f"{base}/set, ")
    server.statuses = [404, 404]
    assert fetch_weights("net", mirrors=[f"{base}/given/"]).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/given/net.pth", "/set/net.pth", "/net.pth"]


def test_a_folder_can_be_a_mirror(entry: Weights, server: Server, tmp_path: Path) -> None:
    (tmp_path / "shared disk").mkdir()
    (tmp_path / "shared disk" / "net.pth").write_bytes(CONTENT)
    assert fetch_weights("net", mirrors=[str(tmp_path / "shared disk")]).read_bytes() == CONTENT
    assert server.requests == []


def test_a_wrong_file_on_a_mirror_is_not_used(entry: Weights, server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(CONTENT[:-1] + b"!")
    assert fetch_weights("net", mirrors=[str(tmp_path)]).read_bytes() == CONTENT


def test_add(entry: Weights, tmp_path: Path, server: Server) -> None:
    (tmp_path / "by-hand").write_bytes(CONTENT)
    assert add_weights(tmp_path / "by-hand") == weights_status("net")
    assert weights_status("net").state == "good"
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"other is not a known weights file: its sha256 is .* Allowed: inception"):
        add_weights(tmp_path / "other")
    (tmp_path / "net.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=rf"net has {SHA256}; the file is damaged or cut short"):
        add_weights(tmp_path / "net.pth")
    with pytest.raises(InputError, match=r"nowhere is not a file. Give a file that 'sgkit weights list'"):
        add_weights(tmp_path / "nowhere")
    assert weights_status("net").state == "good"
    assert server.requests == []


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"Unknown weights 'inception'. Did you mean 'inception-2015-12-05'\?"):
        weights_path("inception")


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_entries_are_complete(name: str) -> None:
    found = WEIGHTS[name]
    assert found.name == name
    assert found.url.startswith("https://")
    assert len(found.sha256) == 64
    assert set(found.sha256) <= set("0123456789abcdef")
    assert found.licence
    assert found.homepage


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, ".cache/sgkit"),
        ("linux", {"XDG_CACHE_HOME": "xdg"}, "xdg/sgkit"),
        ("darwin", {"XDG_CACHE_HOME": "xdg"}, "Library/Caches/sgkit"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/sgkit/Cache"),
        ("win32", {}, "AppData/Local/sgkit/Cache"),
        ("darwin", {"SGKIT_CACHE": "mine"}, "mine"),
    ],
)
def test_cache_folder(
    platform: str, variables: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SGKIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder("weights") == tmp_path / expected / "weights"


def test_cache_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WeightsError, match=r"Cannot write to .*Set SGKIT_CACHE to a folder that"):
        get(server, tmp_path / "x" / "net.pth")
