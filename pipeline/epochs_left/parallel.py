"""Parallel work through joblib: the same results for any number of workers, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from epochs_left.errors import InputOutputError

#: What shows progress: (items, how many there will be, what they are) -> the same items.
Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Times that the tasks of killed workers are handed out.
_ATTEMPTS = 3


def parallel_map(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, *, threads: bool = False
) -> Iterator[Result]:
    """Yield ``function(task)`` as tasks finish, in no particular order.

    Parameters
    ----------
    jobs
        Workers; 1 stays in this thread. Results must carry what identifies them.
    threads
        Use threads: for work that leaves the interpreter, where a process would only copy data.

    Raises
    ------
    InputOutputError
        If workers were killed again and again; what they had not finished was tried again.
    """
    backend = "threading" if threads else "loky"
    left = dict(enumerate(tasks))
    for _ in range(_ATTEMPTS):
        work = [delayed(_numbered)(function, number, task) for number, task in left.items()]
        try:
            for number, result in Parallel(jobs, backend, return_as="generator_unordered")(work):
                del left[number]
                yield result
        except TerminatedWorkerError:
            continue
        return
    raise InputOutputError(
        f"workers were killed {_ATTEMPTS} times, out of memory perhaps; "
        "free memory or pass a smaller --jobs"
    )


def _numbered(function: Callable[[Task], Result], number: int, task: Task) -> tuple[int, Result]:
    return number, function(task)


def no_progress(items: Iterable[Any], total: int, description: str) -> Iterable[Any]:
    """Show nothing."""
    del total, description
    return items
