"""Mutated files of every kind, each opened in a process with limits: ``python -m tests.fuzz.run``.

A mutated file may be accepted, or refused with a message. Anything else is a failure: an error that sgkit does not
explain, a signal, more than 20 seconds or 2 GiB. Failing files are kept, each with the command that makes it again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

import torch

from sgkit.cli.app import _explain
from sgkit.errors import SgkitError
from tests.fuzz.kinds import Kind, kinds

SECONDS, MEMORY = 20, 2 << 30
GRACE = 10
"""Seconds after which a process that does not notice its own time limit is killed."""
BATCH = 25
"""Files that a process opens before a fresh one takes over."""


@dataclass(frozen=True)
class Outcome:
    """What became of one mutated file."""

    kind: str
    number: str
    """``seed:index``: makes the same file again."""
    result: str
    """``accepted``, ``refused``, or what went wrong."""
    seconds: float = 0.0
    memory: int = 0

    @property
    def failed(self) -> bool:
        """Whether it is neither accepted nor refused within the limits."""
        return self.result not in ("accepted", "refused")


@dataclass
class Tally:
    """Outcomes by kind."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[Outcome] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        result = "failed" if outcome.failed else outcome.result
        self.counts.setdefault(outcome.kind, Counter())[result] += 1
        self.slowest, self.largest = max(self.slowest, outcome.seconds), max(self.largest, outcome.memory)
        if outcome.failed:
            self.failures.append(outcome)

    def table(self) -> str:
        """A line for each kind."""
        rows = [f"{'kind':36} {'files':>6} {'accepted':>9} {'refused':>8} {'failed':>7}"]
        for kind, counts in sorted(self.counts.items()):
            values = (counts.total(), counts["accepted"], counts["refused"], counts["failed"])
            rows.append("{:36} {:6} {:9} {:8} {:7}".format(kind, *values))
        total = sum(self.counts.values(), Counter())
        rows.append("{:36} {:6} {:9} {:8} {:7}".format("all", total.total(), *(total[k] for k in _RESULTS)))
        return "\n".join([*rows, f"slowest {self.slowest:.1f} s, most memory {self.largest / 2**30:.2f} GiB"])


_RESULTS = ("accepted", "refused", "failed")


def mutated(kind: Kind, number: str) -> bytes:
    """The file that ``number`` stands for."""
    return kind.mutate(next(iter(kind.files.values())), Random(f"{kind.name}/{number}"))


def place(kind: Kind, data: bytes, folder: Path) -> Path:
    """Write the files of a kind, the first of them as ``data``; its path."""
    paths = [folder / name for name in kind.files]
    for path, content in zip(paths, [data, *list(kind.files.values())[1:]], strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return paths[0]


def fuzz(all_kinds: Sequence[Kind], numbers: Sequence[str], *, keep: Path | None = None) -> Iterator[Outcome]:
    """The outcome of each number, for a kind drawn by it.

    Args:
        all_kinds: what is drawn from, by weight.
        numbers: ``seed:index``.
        keep: folder for the files that fail.
    """
    weights = [kind.weight for kind in all_kinds]
    jobs = [(Random(number).choices(all_kinds, weights)[0], number) for number in numbers]
    while jobs:
        done = 0
        for outcome in _batch(jobs[:BATCH]):
            kind = jobs[done][0]
            done += 1
            if outcome.failed and keep is not None:
                _keep(kind, outcome, keep)
            yield outcome
        jobs = jobs[done:]


def _keep(kind: Kind, outcome: Outcome, folder: Path) -> None:
    name = f"{kind.name} {outcome.number}".replace(" ", "-").replace(":", "-").replace("/", "-")
    place(kind, mutated(kind, outcome.number), folder / name)
    command = f"python -m tests.fuzz.run --kind {kind.name!r} --number {outcome.number}"
    (folder / f"{name}.txt").write_text(f"{outcome.result}\n{command}\n")


def _batch(jobs: Sequence[tuple[Kind, str]]) -> Iterator[Outcome]:
    """Outcomes of jobs in a forked process, in order; fewer of them when it had to be ended."""
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory(prefix="sgkit-fuzz-", ignore_cleanup_errors=True) as folder:
        child = os.fork()
        if child == 0:
            os.close(reader)
            _child(jobs, writer, Path(folder))
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            for kind, number in jobs:
                begun = time.monotonic()
                line = _line(stream.fileno(), SECONDS + GRACE)
                if not line.endswith(b"\n"):
                    os.kill(child, signal.SIGKILL)
                    _, status = os.waitpid(child, 0)
                    hung = time.monotonic() - begun >= SECONDS + GRACE
                    died = f"died of signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended its process"
                    yield Outcome(kind.name, number, "hangs" if hung else died, time.monotonic() - begun)
                    return
                result, seconds, memory = json.loads(line)
                yield Outcome(kind.name, number, result, seconds, memory)
        os.waitpid(child, 0)


def _line(descriptor: int, timeout: float) -> bytes:
    """The next line of a pipe; without its end where the writer is gone or does not answer."""
    line = b""
    end = time.monotonic() + timeout
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(end - time.monotonic(), 0))
        byte = os.read(descriptor, 1) if ready else b""
        if not byte:
            break
        line += byte
    return line


def _child(jobs: Sequence[tuple[Kind, str]], writer: int, folder: Path) -> None:
    """Open each file and write what came of it; never returns."""
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        os.fsync = lambda _descriptor: None  # nothing here has to outlive a power cut
        signal.signal(signal.SIGALRM, _too_long)
        for index, (kind, number) in enumerate(jobs):
            own = folder / str(index)
            own.mkdir()
            path = place(kind, mutated(kind, number), own)
            _forget_peak()
            begun = time.monotonic()
            result = _open(kind, path)
            seconds, memory = time.monotonic() - begun, _peak()
            if memory > MEMORY:
                result = f"takes {memory / 2**30:.1f} GiB"
            os.write(writer, json.dumps([result, seconds, memory]).encode() + b"\n")
            shutil.rmtree(own, ignore_errors=True)
    finally:
        os._exit(0)


class _TooLongError(BaseException):
    """The time of a file is up."""


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise _TooLongError


def _open(kind: Kind, path: Path) -> str:
    signal.alarm(SECONDS)
    try:
        kind.open(path)
        return "accepted"
    except SgkitError:
        return "refused"
    except _TooLongError:
        return f"takes more than {SECONDS} seconds"
    except Exception as error:
        message, hint, _ = _explain(error)
        frame = error.__traceback__
        place = ""
        while frame is not None:
            if "/sgkit/" in frame.tb_frame.f_code.co_filename:
                place = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
            frame = frame.tb_next
        return f"{message[:200]} at {place}" if hint and "bug" in hint else "refused"
    finally:
        signal.alarm(0)


def _forget_peak() -> None:
    """Begin to measure memory afresh (Linux; elsewhere the peak is that of the process)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main() -> int:
    """The command line; 1 when a file failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=2000, help="files to try; 0 goes on until stopped")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one each time")
    parser.add_argument("--kind", default="", help="only kinds whose names contain this")
    parser.add_argument("--number", default="", help="seed:index of one file, to try it again with a traceback")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="folder for files that fail")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="sgkit-fuzz-") as scratch:
        chosen = [kind for kind in kinds(Path(scratch)) if options.kind in kind.name]
        if options.number:
            (kind,) = [kind for kind in chosen if kind.name == options.kind]
            path = place(kind, mutated(kind, options.number), options.out / "again")
            print(path)
            kind.open(path)
            return 0
        begun = time.monotonic()
        try:
            index = 0
            while not options.count or index < options.count:
                numbers = [f"{seed}:{n}" for n in range(index, min(index + 100, options.count or index + 100))]
                for outcome in fuzz(chosen, numbers, keep=options.out):
                    tally.add(outcome)
                    if outcome.failed:
                        print(f"{outcome.kind}: {outcome.result} (number {outcome.number})", flush=True)
                index += len(numbers)
        except KeyboardInterrupt:
            pass
    print(f"seed {seed}, {time.monotonic() - begun:.0f} s\n{tally.table()}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
