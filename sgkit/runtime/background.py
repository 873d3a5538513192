"""Writing while the next images are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

AHEAD = 8
"""Tasks that may wait for the thread: what they hold stays in memory."""


def in_background(tasks: Iterable[Callable[[], T]], *, ahead: int = AHEAD) -> Iterator[T]:
    """The results of ``tasks``, in order. One thread runs them one after the other while the next ones are made.

    For files: compressing and writing them needs neither the device nor torch's threads. At most ``ahead`` tasks wait.
    If making a task fails, those before it are finished first; if a task fails, those after it are not started.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="write") as thread:
        try:
            for task in tasks:
                waiting.append(thread.submit(task))
                while waiting and (len(waiting) > ahead or waiting[0].done()):
                    yield _result(waiting)
            while waiting:
                yield _result(waiting)
        except GeneratorExit:
            _cancel(waiting)
            raise


def _result(waiting: deque[Future[T]]) -> T:
    try:
        return waiting.popleft().result()
    except BaseException:
        _cancel(waiting)
        raise


def _cancel(waiting: Iterable[Future[T]]) -> None:
    for future in waiting:
        future.cancel()
