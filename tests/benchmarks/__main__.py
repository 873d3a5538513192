"""Runs benchmarks one after the other and prints what they measure as one table.

    python -m tests.benchmarks              # all of them, in about fifteen minutes
    python -m tests.benchmarks walk reader  # these

Each is a script beside this file that runs in a separate process, with short settings that need no other project. For
longer measurements, or to compare with other projects' code, run the script itself: ``--help`` lists its options.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

BENCHMARKS: dict[str, tuple[str, ...]] = {
    "walk": ("bench_synthesis.py", "--rounds", "5", "--threads", "1"),
    "panorama": ("bench_panorama.py", "--size", "64", "--channel-base", "2048", "--rounds", "1"),
    "training": ("bench_training.py", "--sizes", "64", "--rounds", "1"),
    "loading": ("bench_loading.py", "--size", "256", "--rounds", "1"),
    "prepare": ("bench_prepare.py", "prepare", "--large", "4", "--rounds", "1"),
    "drag": ("bench_drag.py", "--count", "3", "--steps", "100"),
    "features": ("bench_features.py", "speed", "--count", "32", "--rounds", "2"),
    "features memory": ("bench_features.py", "memory", "--counts", "32,128"),
    "project": ("bench_project.py", "--batches", "1,8", "--losses", "pixels", "--steps", "2", "--rounds", "1"),
    "reader": ("bench_prepare.py", "reader", "--count", "200", "--rounds", "1"),
    "streaming": ("bench_streaming.py", "time", "--size", "1024x256", "--tiles", "256"),
    "streaming memory": ("bench_streaming.py", "memory", "--sizes", "1000x1000,16000x1000", "--tile", "256"),
    "decoding": ("bench_prepare.py", "decoding", "--large", "2"),
    "convolutions": (
        "scan_convolutions.py",
        "--presets",
        "stylegan2-mini,stylegan3-t",
        "--size",
        "32",
        "--channels",
        "16",
    ),
}
"""Name -> script and its arguments."""


def run(name: str) -> int:
    """Print a row for each line that the benchmark prints, and return its exit code."""
    script, *arguments = BENCHMARKS[name]
    began = time.perf_counter()
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"{name:<12} | {line.rstrip()}", flush=True)
    print(f"{name:<12} | exit code {process.returncode} after {time.perf_counter() - began:.0f} s", flush=True)
    return process.returncode


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"benchmarks to run: {', '.join(BENCHMARKS)} (default: all)"
    )
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"Unknown benchmark {unknown[0]!r}. Allowed: {', '.join(BENCHMARKS)}.")
    sys.exit(max(run(name) for name in names))


if __name__ == "__main__":
    main()
