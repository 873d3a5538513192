from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from sgkit.runtime.background import in_background


def test_results_come_in_order_from_one_other_thread() -> None:
    threads = set()

    def task(number: int) -> int:
        threads.add(threading.get_ident())
        return number

    assert list(in_background(partial(task, number) for number in range(50))) == list(range(50))
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_the_next_task_is_made_while_one_runs_and_few_wait() -> None:
    made, go = [], threading.Event()

    def tasks() -> Iterator[Callable[[], bool]]:
        for number in range(9):
            made.append(number)
            if number == 3:  # only a task made beside a running one gets here
                go.set()
            yield partial(go.wait, 60)

    results = in_background(tasks(), ahead=3)
    assert next(results)
    assert 4 <= len(made) <= 5
    assert all(results)


@pytest.mark.parametrize("fails_in", ["a task", "making"])
def test_a_failure_ends_it_after_what_came_before(fails_in: str) -> None:
    done = []

    def task(number: int) -> None:
        if fails_in == "a task" and number == 2:
            raise ValueError("full")
        done.append(number)

    def tasks() -> Iterator[Callable[[], None]]:
        for number in range(40):
            if fails_in == "making" and number == 2:
                raise ValueError("full")
            yield partial(task, number)

    with pytest.raises(ValueError, match="full"):
        list(in_background(tasks()))
    assert done[:2] == [0, 1]
    assert len(done) < 20
