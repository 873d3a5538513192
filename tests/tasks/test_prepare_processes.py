"""Preparation by real processes: torchrun's, killed ones, interrupted ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgkit.errors import StoreError
from sgkit.store import StoreReader, read_header
from sgkit.store.header import PLAN_NAME
from sgkit.store.preparing.parts import StoreFiles
from sgkit.store.preparing.plan import make_plan
from sgkit.tasks.data import diff, verify
from sgkit.tasks.prepare import PrepareOptions, prepare
from tests.store.containers import noise

COUNT = 41
OPTIONS = PrepareOptions(size=(16, 16), labels="folders")
COMMAND = ["-m", "sgkit", "prepare"]
ARGUMENTS = ["--size", "16", "--labels", "folders"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = noise(tmp_path_factory.mktemp("pictures"), COUNT, size=(20, 24))
    (folder / "odd" / "words.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def straight(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "straight"
    prepare(pictures, path, options=OPTIONS)
    return path


def bytes_of(store: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(store.iterdir())}


def test_two_processes_of_torchrun_make_the_same_images_as_one(pictures: Path, straight: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, *COMMAND, str(pictures), "--out", str(store), "--workers", "1", "--json", *ARGUMENTS]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # by whichever process was last, and by no other
    assert (said["header"]["num_images"], said["missing_parts"]) == (len(StoreReader(store)), [])
    assert len(read_header(store).parts) == 2
    assert diff(store, straight).same
    one, two = StoreReader(straight), StoreReader(store)
    for index in range(COUNT):
        assert bytes(one.record(index)) == bytes(two.record(index))
        assert one.stored_label(index) == two.stored_label(index)
        assert one.meta(index) == two.meta(index)
    assert (store / "report.jsonl").read_bytes() == (straight / "report.jsonl").read_bytes()
    assert verify(store).ok


def test_of_processes_that_finish_a_store_at_once_one_says_so(straight: Path) -> None:
    files = StoreFiles(straight, 1)
    (straight / PLAN_NAME).write_text("{}")  # as where the header is written and nobody has cleaned up yet
    plan = make_plan(["sample:landscapes?count=1"], PrepareOptions(size=(8, 8)))
    assert [files.join(plan)[1] for _ in range(3)] == [True, False, False]


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
import sgkit.store.preparing.build as build
from sgkit.cli.app import main
build.COMMIT_ITEMS = 5
process_chunk = build._process_chunk
def slowly(setup, chunk):
    time.sleep(0.3)  # a window for signals, on a busy machine too
    return process_chunk(setup, chunk)
build._process_chunk = slowly
sys.exit(main(sys.argv[1:]))
"""


def start(pictures: Path, store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SLOW, "prepare", str(pictures), "--out", str(store), "--workers", "1", *ARGUMENTS]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(file: Path, process: subprocess.Popen[str], *, num_bytes: int = 0) -> None:
    for _ in range(6000):
        if process.poll() is not None or (file.exists() and file.stat().st_size >= num_bytes):
            return
        time.sleep(0.01)
    raise AssertionError(f"{file} did not come")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_sigkill_at_several_moments_and_a_last_run_give_the_same_bytes(
    pictures: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    for file, num_bytes in (("plan.json", 0), ("part-00000.mdb", 1), ("part-00000.mdb", 30_000)):
        process = start(pictures, store)
        wait_for(store / file, process, num_bytes=num_bytes)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        with pytest.raises(StoreError, match="unfinished"):
            read_header(store)
    monkeypatch.setattr("sgkit.store.preparing.build.COMMIT_ITEMS", 5)
    prepare(pictures, store, options=OPTIONS)
    prepare(pictures, tmp_path / "straight", options=OPTIONS)
    assert bytes_of(store) == bytes_of(tmp_path / "straight")
    assert diff(store, straight).same


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(pictures: Path, straight: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(pictures, store)
    wait_for(store / "part-00000.mdb", process, num_bytes=1)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to continue" in told
    assert "Traceback" not in told
    prepare(pictures, store, options=OPTIONS)
    assert diff(store, straight).same
