from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from sgkit.errors import StoreError
from sgkit.store.preparing.workers import map_in_order, num_cores


def add(setup: int, chunk: int) -> int:
    time.sleep(0.01 * (chunk % 3))  # later chunks are done before earlier ones
    return setup + chunk


def fail_at_three(setup: int, chunk: int) -> int:
    if chunk == 3:
        raise ValueError(f"chunk {chunk}")
    return setup + chunk


def die(setup: int, chunk: int) -> int:
    os._exit(9)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    assert list(map_in_order(add, 100, range(17), workers=workers)) == list(range(100, 117))


def test_chunks_that_wait_have_no_more_than_so_many_bytes() -> None:
    taken: list[int] = []

    def chunks() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            yield number

    results = map_in_order(add, 0, chunks(), workers=3, size_of=lambda _: 10, most_bytes=20)
    assert next(results) == 0
    assert len(taken) == 2
    assert list(results) == list(range(1, 9))


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (2, 5)])
def test_no_more_is_taken_than_the_workers_need(workers: int, ahead: int) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = map_in_order(add, 0, endless(), workers=workers)
    for done in range(1, 9):
        next(results)
        assert taken <= done + ahead
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_work_comes_out_at_its_place(workers: int) -> None:
    results = map_in_order(fail_at_three, 0, range(9), workers=workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="chunk 3"):
        next(results)


def test_a_dead_worker_is_told_with_what_to_do() -> None:
    with pytest.raises(StoreError, match=r"worker process died.*run the same command again.*fewer --workers"):
        list(map_in_order(die, 0, range(3), workers=2))


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert num_cores() == 2
