"""Run by a test: images are killed at every kind of moment, in forked processes, and continued in this one."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from sgkit.errors import ResourceError
from sgkit.render.stream import PlaneOf, stream
from sgkit.render.stream import run as running
from sgkit.runtime.files import partial
from tests.render.stream.planes import NAMES, SHEET, Counted, content, picture

TILE = 32
MOMENTS = {"open", "os.remove", "os.rename", "os.mkdir", "os.truncate", "shutil.rmtree"}
"""Audit events of changes on disk."""


def child(work: object) -> int:
    """Do the work in a forked process; how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(3)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def kill_at(number: int, folder: Path) -> None:
    """Kill this process at the change on disk with this number."""
    left = number

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in MOMENTS and arguments and str(folder) in str(arguments[0]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed(name: str, root: Path) -> None:
    pixels, path = picture(), root / name
    stream(PlaneOf(pixels), root / "whole" / name, SHEET, tile=TILE)
    wanted, number, kept = content(root / "whole" / name), 0, []
    while True:

        def work(number: int = number) -> None:
            kill_at(number, root)
            stream(PlaneOf(pixels), path, SHEET, tile=TILE)

        status = child(work)
        if status == 0:
            assert content(path) == wanted
            break
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        assert not path.exists() or content(path) == wanted, f"half a file at moment {number}"
        rest = Counted(pixels)
        stream(rest, path, SHEET, tile=TILE)
        kept.append(15 - len(rest.drawn))
        assert content(path) == wanted, f"other bytes after moment {number}"
        assert not partial(path).exists()
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        number += 1 if number < 10 else 13
    assert kept == sorted(kept), kept
    assert kept[-1] > 9, kept


def out_of_room(root: Path) -> None:
    """Every file may have so many bytes only, as on a disk that fills."""
    pixels, path = picture(400, 400), root / "limited.png"
    stream(PlaneOf(pixels), root / "whole.png", SHEET, tile=TILE)
    limit = (root / "whole.png").stat().st_size * 2 // 3

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            stream(PlaneOf(pixels), path, SHEET, tile=TILE)
        except ResourceError as error:
            is_told = "more are needed" in str(error) and "tiles are kept in" in str(error)
            os._exit(7 if is_told else 8)

    assert os.waitstatus_to_exitcode(child(work)) == 7
    assert not path.exists()
    rest = Counted(pixels)
    stream(rest, path, SHEET, tile=TILE)
    assert 0 < len(rest.drawn) < 169
    assert content(path) == content(root / "whole.png")


if __name__ == "__main__":
    running.flush = lambda path: None  # waiting for the disk makes no difference to a killed process
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            killed(name, Path(folder))
            print(name)
        out_of_room(Path(folder))
        print("limits")
