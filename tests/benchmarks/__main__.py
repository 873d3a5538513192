"""Measures sgkit beside other programs and beside what the processor can do; writes docs/benchmarks.md.

    python -m tests.benchmarks                         # all groups, in about 15 minutes on a quiet machine
    python -m tests.benchmarks --quick                 # about 3 minutes
    python -m tests.benchmarks synthesis training-64   # these groups; the others keep their figures
    python -m tests.benchmarks --peer ada=DIR          # with a checkout of stylegan2-ada-pytorch
    python -m tests.benchmarks curves                  # cost curves, in about 6 minutes
    python -m tests.benchmarks walk reader             # scripts for one subject, which only print

Each group runs in a separate process and is saved when it is done; one that fails is named, and the others go on.
Scripts are files beside this one; for longer measurements run them themselves, ``--help`` lists their options.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import machine, results
from tests.benchmarks.rows import GROUPS, NOT_QUICK

SCRIPTS: dict[str, tuple[str, ...]] = {
    "walk": ("bench_synthesis", "--rounds", "5", "--threads", "1"),
    "files": ("bench_loading", "--size", "256", "--rounds", "1"),
    "drag": ("bench_drag", "--count", "3", "--steps", "100"),
    "features": ("bench_features", "speed", "--count", "32", "--rounds", "2"),
    "features-memory": ("bench_features", "memory", "--counts", "32,128"),
    "reader": ("bench_prepare", "reader", "--count", "200", "--rounds", "1"),
    "streaming": ("bench_streaming", "time", "--size", "1024x256", "--tiles", "256"),
    "streaming-memory": ("bench_streaming", "memory", "--sizes", "1000x1000,16000x1000", "--tile", "256"),
    "decoding": ("bench_prepare", "decoding", "--large", "2"),
    "convolutions": (
        "scan_convolutions",
        *("--presets", "stylegan2-mini,stylegan3-t", "--size", "32", "--channels", "16"),
    ),
}
"""Name -> module beside this one and its arguments."""
LIMIT = 900
"""Seconds after which a group is stopped."""
BUSY = 0.5
"""Load of the machine, in processors, from which on a run says that others were at work."""


def measure(group: str, given: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The rows of a group, as far as they came, and what went wrong, if anything."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(given["threads"]), "PYTHONPATH": _python_path()}
    command = [sys.executable, "-m", "tests.benchmarks.rows", json.dumps({**given, "group": group})]
    rows, text = [], ""
    try:
        done = subprocess.run(command, env=environment, cwd=results.ROOT, capture_output=True, text=True, timeout=LIMIT)
        lines, errors, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as expired:
        lines, errors, code = _text(expired.stdout), _text(expired.stderr), 0
        text = f"stopped after {LIMIT} s"
    for line in lines.splitlines():
        if line.startswith("{"):
            rows.append({**json.loads(line), "group": group})
    if code:
        text = (errors.strip().splitlines() or ["no message"])[-1][:200]
    return rows, text


def _python_path() -> str:
    return os.pathsep.join([str(results.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def standard(groups: list[str], options: argparse.Namespace, given: dict[str, Any], *, resume: bool) -> None:
    """Measure ``groups``, one after the other, and write JSON and page after each."""
    before, is_part = results.committed(), resume or options.names
    kept = (results.load() if is_part else None) or {"rows": [], "failed": {}, "ceilings": {}, "curves": None}
    found = kept | _about(given, busy=os.getloadavg()[0] > BUSY or options.busy)
    if resume:
        there = {row["group"] for row in found["rows"]}
        groups = [group for group in groups if group not in there]
    if "ceilings" not in groups:
        groups = ["ceilings", *groups]
    for group in groups:
        began = time.perf_counter()
        rows, text = measure(group, given)
        found["failed"].pop(group, None)
        if text:
            found["failed"][group] = text
        if group == "ceilings" and rows:
            found["ceilings"] = {name: value for name, value in rows[0].items() if name not in ("name", "group")}
        elif rows:
            found["rows"] = [row for row in found["rows"] if row["group"] != group] + rows
        if not found["ceilings"]:
            sys.exit(f"The ceilings could not be measured, so nothing else says anything: {text}")
        found["curves"] = (results.load() or found)["curves"]  # they have their own command
        found["rows"].sort(key=lambda row: list(GROUPS).index(row["group"]))
        results.save(found)
        show(group, rows, found["ceilings"])
        print(f"{group}: {text or 'done'} after {time.perf_counter() - began:.0f} s", flush=True)
    print(f"\nWrote {results.PAGE} and {results.FILE}.")
    lost = list(results.worse(before, found))
    print("\n".join(["Worse than in the last commit by over 10%:", *lost]) if lost else "Nothing lost over 10%.")
    for goal in results.goals(found):
        if not goal.is_reached:
            print(f"Short: {goal.row}, {goal.text}: {goal.shown(goal.found)}, wanted {goal.shown(goal.wanted)}")


def show(group: str, rows: list[dict[str, Any]], ceilings: dict[str, Any]) -> None:
    """Print the figures of a group."""
    if group == "ceilings":
        print(
            f"ceilings: fp32 {ceilings['fp32']['best']}, bf16 {ceilings['bf16']['best']} GFLOP/s; "
            f"copy {ceilings['copy']} GB/s"
        )
        return
    for row in rows:
        shown = [f"{figure.name} {figure.text()}" for figure in results.figures(row, ceilings).values()]
        shown += [f"{name} failed: {text}" for name, text in row["failed"].items()]
        print(f"{row['name']} (each {row['unit']}): {' | '.join(shown)}", flush=True)


def _about(given: dict[str, Any], *, busy: bool) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=results.ROOT, capture_output=True, text=True
    ).stdout.strip()
    return {
        "machine": machine.facts(given["threads"]),
        "when": time.strftime("%Y-%m-%d"),
        "commit": commit or "unknown",
        "quick": given["quick"],
        "busy": busy,
    }


def script(name: str) -> int:
    """Print a row for each line that the script prints, and return its exit code."""
    module, *arguments = SCRIPTS[name]
    began = time.perf_counter()
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    environment = {**os.environ, "PYTHONPATH": _python_path()}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=results.ROOT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"{name:<12} | {line.rstrip()}", flush=True)
    print(f"{name:<12} | exit code {process.returncode} after {time.perf_counter() - began:.0f} s", flush=True)
    return process.returncode


def chosen(names: list[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """The groups and scripts that ``names`` stand for; the start of a group's name stands for all that begin so."""
    groups: dict[str, None] = {}
    scripts = []
    for name in names:
        found = [group for group in GROUPS if group == name] or [group for group in GROUPS if group.startswith(name)]
        if name in SCRIPTS:
            scripts.append(name)
        elif found:
            groups |= dict.fromkeys(found)
        elif name != "curves":
            parser.error(f"Unknown benchmark {name!r}. Allowed: {', '.join([*GROUPS, 'curves', *SCRIPTS])}.")
    return list(groups), scripts


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shown = f"groups: {', '.join(GROUPS)}; curves; scripts: {', '.join(SCRIPTS)} (default: all groups)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=shown)
    parser.add_argument("--quick", action="store_true", help="few rounds, and without the longest groups")
    parser.add_argument("--resume", action="store_true", help="keep the groups that the results have already")
    parser.add_argument("--busy", action="store_true", help="say on the page that the machine was busy")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=DIR", help="ada=DIR: a checkout of stylegan2-ada-pytorch"
    )
    options = parser.parse_args()
    peers = dict(peer.partition("=")[::2] for peer in options.peer)
    for name, folder in peers.items():
        if name != "ada" or not (Path(folder) / "training" / "networks.py").is_file():
            parser.error(f"Not a peer: {name}={folder}. Allowed: ada=DIR, a checkout of stylegan2-ada-pytorch.")
    given = {
        "quick": options.quick,
        "threads": options.threads,
        "peers": {name: str(Path(folder).resolve()) for name, folder in peers.items()},
    }
    groups, scripts = chosen(options.names, parser)
    if not options.names:
        groups = [group for group in GROUPS if not (options.quick and group in NOT_QUICK)]
    if groups:
        standard(groups, options, given, resume=options.resume)
    if "curves" in options.names:
        from tests.benchmarks import curves

        curves.main(busy=os.getloadavg()[0] > BUSY or options.busy)
    sys.exit(max([script(name) for name in scripts], default=0))


if __name__ == "__main__":
    main()
