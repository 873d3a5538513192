"""One training per run folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sgkit.runs.folder import RunFolder
from tests.runs.driver import Cli, files

HOLDER = """
import sys, time
from pathlib import Path
from sgkit.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("begun", [False, True], ids=["new folder", "run"])
def test_the_second_training_is_refused_and_touches_nothing(tmp_path: Path, cli: Cli, begun: bool) -> None:
    run = tmp_path / "run"
    if begun:
        assert cli.new(run, "--kimg", "0.008") == 0
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            before = files(run)
            cli.said()
            assert cli.new(run, "--kimg", "0.016", "--resume") == 1
        finally:
            process.send_signal(signal.SIGKILL)
    said = cli.said()
    assert f"{run} is in use: process {process.pid} on host " in said
    assert "continue the run with --resume" in said
    assert files(run) == before
    assert cli.new(run, "--kimg", "0.016", "--resume") == 0
    assert not (run / ".lock").exists()


def test_a_folder_that_stays_empty_goes(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").locked():
        assert (tmp_path / "run" / ".lock").is_file()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["file in the way", "no right to write"])
def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    run = tmp_path / "place" / "run"
    if kind == "file in the way":
        run.parent.write_text("")
    else:

        def refuse(*args: object, timeout: float) -> None:
            raise PermissionError(13, "Permission denied", str(run))

        monkeypatch.setattr("sgkit.runtime.locks.FileLock.acquire", refuse)  # tests may run as root, whom no mode stops
    assert cli.new(run, "--kimg", "0.008") == 1
    said = cli.said()
    assert f"Cannot write to the run folder {run}: " in said
    assert "name a different folder with --out" in said
    assert not run.exists()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("store", "Not a run folder: {out} is an image store"),
        ("photos", "Not a run folder: {out} is a folder of images"),
        ("file", "{out} is "),
        ("no configuration", "{out} holds snapshots but no config.toml, so it cannot be resumed."),
        ("run", "{out} holds a run already. Add --resume to continue it"),
    ],
)
def test_what_is_no_new_folder_is_named_for_what_it_is(
    store: Path, tmp_path: Path, cli: Cli, kind: str, message: str
) -> None:
    out = tmp_path / "out"
    if kind == "store":
        out = store
    elif kind == "photos":
        out = store.parent / "pictures"
    elif kind == "file":
        out.write_text("notes")
    else:
        assert cli.new(out, "--kimg", "0.008") == 0
        if kind == "no configuration":
            (out / "config.toml").unlink()
    before = files(out)
    cli.said()
    for options in ([], ["--resume"]) if kind != "run" else ([],):
        assert cli.new(out, *options) == 1
        assert message.format(out=out) in cli.said()
    assert files(out) == before
