"""Signals to a process group or to every process of a job, as Ctrl-C and clusters send them, leave workers at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import multiprocessing, os, signal, subprocess, sys
from itertools import islice
from sgkit.store import StoreDataset, batches

if __name__ == "__main__":
    caught = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: caught.append(number))
    supply = batches(StoreDataset(sys.argv[1]), batch=4, seed=0, num_workers=1)
    next(supply)
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGINT)
    subprocess.run(["kill", "-TERM", *(str(worker.pid) for worker in multiprocessing.active_children())], check=True)
    # More batches than the loader fetches ahead.
    print(len(caught), sum(len(batch) for batch in islice(supply, 8)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are a POSIX notion")
def test_workers_outlive_signals_to_the_group_and_to_themselves(store_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store_path)],
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
        check=False,
    )
    assert done.stdout.split() == ["2", "32"], done.stderr
