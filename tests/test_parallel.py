"""Parallel work: the same results for any number of workers, and no task is dropped."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from epochs_left.errors import InputOutputError
from epochs_left.parallel import parallel_map

# Workers cannot import test modules: what they run is defined inside of the tests.


@pytest.mark.parametrize(("jobs", "threads"), [(1, False), (2, False), (2, True)])
def test_every_task_is_done_once(jobs: int, threads: bool) -> None:
    done = list(parallel_map(lambda n: (n, n**2), range(20), jobs, threads=threads))
    assert sorted(done) == [(number, number**2) for number in range(20)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_task_is_no_work(jobs: int) -> None:
    assert list(parallel_map(str, [], jobs)) == []


def test_one_job_stays_in_this_process() -> None:
    assert set(parallel_map(lambda _: os.getpid(), range(3), 1)) == {os.getpid()}


def test_threads_stay_in_this_process_too() -> None:
    barrier = threading.Barrier(2, timeout=30)

    def meet(number: int) -> int:
        barrier.wait()
        return os.getpid()

    assert set(parallel_map(meet, range(2), 2, threads=True)) == {os.getpid()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_expected_failure_reaches_the_caller(jobs: int) -> None:
    def refuse_three(number: int) -> int:
        if number == 3:
            raise InputOutputError("cannot write the third")
        return number

    with pytest.raises(InputOutputError, match="cannot write the third"):
        list(parallel_map(refuse_three, range(6), jobs))


def test_tasks_of_a_killed_worker_are_tried_again(tmp_path: Path) -> None:
    def die_once(number: int) -> int:
        flag = tmp_path / "died"
        if number == 3 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    done = sorted(parallel_map(die_once, range(6), 2))
    assert done == list(range(6))
    assert (tmp_path / "died").exists()


def test_workers_that_always_die_are_an_error() -> None:
    def die(number: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(InputOutputError, match=r"workers were killed 3 times.*--jobs"):
        list(parallel_map(die, range(2), 2))
