"""Parallel work through joblib: the same results for any number of workers, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, delayed

Task = TypeVar("Task")
Result = TypeVar("Result")


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
    """
    backend = "threading" if threads else "loky"
    yield from Parallel(n_jobs=jobs, backend=backend, return_as="generator_unordered")(
        delayed(function)(task) for task in tasks
    )
