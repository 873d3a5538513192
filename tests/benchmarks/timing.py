"""The one way in which benchmarks take times: alternatives in turn, A B A B ..., after a call that does not count."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sgkit.runtime.allocator import release_freed_memory

MEBIBYTE = 2**20


class Timing(NamedTuple):
    """Seconds per call, one number for each round: on the clock, and of the processors over all threads.

    On a busy machine the clock counts other people's work; processor time with one thread counts ours alone.
    """

    seconds: list[float]
    cpu: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a part of the median."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median


def interleaved(functions: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 1) -> dict[str, Timing]:
    """Every function timed once in each round, after ``warm_up`` rounds that do not count."""
    timings = {name: Timing([], []) for name in functions}
    for index in range(rounds + warm_up):
        for name, function in functions.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            function()
            if index >= warm_up:
                timings[name].seconds.append(time.perf_counter() - start)
                timings[name].cpu.append(time.process_time() - cpu_start)
    return timings


def memory_of(function: Callable[[], object]) -> float | None:
    """MiB that a call takes at its peak beyond what is there before it; ``None``: the system does not say (Linux)."""
    release_freed_memory()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        before = _resident("VmRSS")
        function()
        return (_resident("VmHWM") - before) / MEBIBYTE
    function()
    return None


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(field)


def compare(
    functions: Mapping[str, Callable[[], object]], *, rounds: int, clock: str = "cpu", per: float = 1.0
) -> dict[str, Any]:
    """What a row of the results says of its alternatives: each is called once for its memory, then all in turn.

    An alternative that fails is named with its error and the others go on.

    Args:
        functions: by name.
        rounds: timed calls of each; 0: the first call is the one that is timed, where calls take half a minute.
        clock: ``cpu`` (one thread: other work on the machine counts little) or ``clock``.
        per: how many units a call makes: the times are those of one.
    """
    memory: dict[str, float | None] = {}
    first: dict[str, Timing] = {}
    failed: dict[str, str] = {}
    for name, function in functions.items():
        start, cpu = time.perf_counter(), time.process_time()
        try:
            memory[name] = memory_of(function)
            first[name] = Timing([time.perf_counter() - start], [time.process_time() - cpu])
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}"
    timings = interleaved({name: functions[name] for name in memory}, rounds=rounds, warm_up=0) if rounds else first
    found = {
        name: {
            "times": [round(value / per, 6) for value in (one.cpu if clock == "cpu" else one.seconds)],
            "memory": None if memory[name] is None else round(memory[name] or 0.0),
        }
        for name, one in timings.items()
    }
    return {"alternatives": found, "failed": failed, "clock": clock, "rounds": rounds}
