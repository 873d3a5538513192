"""Locks that end with their process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgkit.runtime.locks import LockedError, exclusive

HOLDER = """
import os, sys, time
from pathlib import Path
from sgkit.runtime.locks import exclusive
with exclusive(Path(sys.argv[1])):
    if not os.fork():  # as processes that decode images are made
        print(os.getpid(), flush=True)  # by the child: it runs, and has let go of the lock
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds ``tmp_path / "lock"``, and the number of its child."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process, child
        process.kill()
        os.kill(child, signal.SIGKILL)


def test_a_held_lock_names_its_holder_and_a_kill_ends_it(
    tmp_path: Path, holder: tuple[subprocess.Popen[str], int]
) -> None:
    process, child = holder
    with pytest.raises(LockedError) as caught, exclusive(tmp_path / "lock"):
        pass
    assert caught.value.holder == f"process {process.pid} on host {socket.gethostname()!r}"
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.kill(child, 0)  # the child lives on, and does not hold it
    with exclusive(tmp_path / "lock"):
        assert (tmp_path / "lock").is_file()
    assert not (tmp_path / "lock").exists()


def test_a_process_shuts_itself_out(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"):
        with pytest.raises(LockedError, match="this process"), exclusive(tmp_path / "lock"):
            pass
        with pytest.raises(LockedError, match="this process"), exclusive(tmp_path / "." / "lock"):
            pass
    with exclusive(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("left", [b"process 1 on host 'gone'", b"\xff\x00\x1b[31m", b""])
def test_a_file_that_was_left_locks_nothing(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "lock").write_bytes(left)
    with exclusive(tmp_path / "lock"):
        assert (tmp_path / "lock").read_bytes().startswith(b"process ")
