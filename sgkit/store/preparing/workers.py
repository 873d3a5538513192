"""Work spread over processes, results in order, memory bounded: never more chunks in flight than the workers need."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from sgkit.errors import StoreError

T = TypeVar("T")
R = TypeVar("R")

_setup: Any = None


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(
    work: Callable[[Any, T], R],
    setup: Any,
    chunks: Iterable[T],
    *,
    workers: int,
    size_of: Callable[[T], int] = lambda _: 0,
    most_bytes: int = 1 << 62,
) -> Iterator[R]:
    """``work(setup, chunk)`` of every chunk, in order; ``setup`` is sent once to each of ``workers`` processes.

    No more chunks wait for their results than come to ``most_bytes`` by ``size_of``, but for the last one.

    With one worker everything happens in this process. Processes are spawned, so that threads and open files of this
    one do no harm; they ignore Ctrl-C and end by themselves when this process is killed.
    """
    if workers <= 1:
        for chunk in chunks:
            result = work(setup, chunk)
            del chunk  # before the next one is read
            yield result
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(work, setup))
    try:
        yield from _drain(pool, chunks, size_of, in_flight=2 * workers + 1, most_bytes=most_bytes)
    except BrokenProcessPool as error:
        raise StoreError(
            "A worker process died, probably out of memory. What is stored is safe: run the same command again "
            "to continue, with fewer --workers. (In a script, call this below 'if __name__ == \"__main__\":'.)"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _drain(
    pool: ProcessPoolExecutor, chunks: Iterable[T], size_of: Callable[[T], int], *, in_flight: int, most_bytes: int
) -> Iterator[Any]:
    waiting: deque[tuple[Future[Any], int]] = deque()
    held = 0
    for chunk in chunks:
        size = size_of(chunk)
        waiting.append((pool.submit(_work_on, chunk), size))
        held += size
        del chunk
        while waiting and (len(waiting) >= in_flight or held >= most_bytes):
            first, size = waiting.popleft()
            yield first.result()
            held -= size
    while waiting:
        yield waiting.popleft()[0].result()


def _start_worker(work: Callable[[Any, Any], Any], setup: Any) -> None:
    global _setup
    _setup = (work, setup)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _work_on(chunk: Any) -> Any:
    work, setup = _setup
    return work(setup, chunk)
