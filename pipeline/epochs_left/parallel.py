"""Parallel work: the same results for any number of workers, in any order.

On one machine through joblib, on a cluster through dask.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import logging
import os
import pickle
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from epochs_left.errors import InputOutputError, ModelError, UsageError
from epochs_left.orphans import end_with_parent

#: What shows progress: (items, how many there will be, what they are) -> the same items.
Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]

Task = TypeVar("Task")
Result = TypeVar("Result")
Common = TypeVar("Common")

#: Times that the tasks of killed workers are handed out.
_ATTEMPTS = 3

#: Seconds in which a scheduler has to answer.
_ANSWER_SECONDS = 8.0
#: Seconds between two looks at who is in a cluster, and looks that may find nobody: a worker that
#: was killed is back in five seconds.
_LOOK_SECONDS = 5.0
_LOOKS_ALONE = 6
#: Tasks for each thread of a cluster: one at work, one waiting for it.
_TASKS_PER_THREAD = 2
_PACKAGE = __name__.partition(".")[0]
#: The data of a whole family may be large; dask would warn that it is.
_ANY_SIZE = {"distributed.admin.large-graph-warning-threshold": "1 PiB"}

#: Bytes that a worker writes into its pipe in one step, whatever happens. Of a longer result, a
#: worker that is killed may leave a half, and the reader would wait for the rest for ever.
_ONE_STEP = 1024

#: Folders for results, and for large arrays of tasks, on their way between processes.
_SPOOL = "epochs-left-results-"


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
    left = dict(enumerate(tasks))
    with _spool_folder() if jobs > 1 and not threads else contextlib.nullcontext() as spool:
        for _ in range(_ATTEMPTS):
            work = [delayed(_numbered)(function, number, left[number], spool) for number in left]
            with _closed_quietly(_workers(jobs, threads=threads)(work)) as done:
                try:
                    for number, result in done:
                        del left[number]
                        yield _fetched(result)
                except TerminatedWorkerError:
                    continue
            return
    raise InputOutputError(
        f"workers were killed {_ATTEMPTS} times, out of memory perhaps; "
        "free memory or pass a smaller --jobs"
    )


@contextmanager
def _closed_quietly(
    results: Generator[Result, None, None],
) -> Iterator[Generator[Result, None, None]]:
    """Close joblib's generator, which warns of results that nobody wants any more."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _workers(jobs: int, *, threads: bool) -> Parallel:
    if threads:
        return Parallel(jobs, "threading", return_as="generator_unordered")
    # Left to itself, joblib puts large arrays into /dev/shm, where they outlive a SIGKILL.
    place = str(_own_folder(os.getpid()))
    begin = {"initializer": _begin_worker, "initargs": (os.getpid(), str(Path.cwd()))}
    return Parallel(jobs, "loky", return_as="generator_unordered", temp_folder=place, **begin)


def _begin_worker(parent: int, folder: str) -> None:
    """Have the worker end with its parent, and keep what it has read for its next tasks.

    Loky takes 300 MB more than at the first task for a leak, and starts another worker. It would
    also hand out workers again that were started in another folder.
    """
    end_with_parent(parent)
    os.chdir(folder)
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize


def _numbered(
    function: Callable[[Task], Result], number: int, task: Task, spool: Path | None
) -> tuple[int, Result | _Spooled]:
    result = function(task)
    return number, result if spool is None else _sent(result, spool / str(number))


@dataclass(frozen=True)
class _Spooled:
    """A result that waits in a file of ours."""

    path: Path


def _sent(result: Result, path: Path) -> Result | _Spooled:
    data = pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)
    if len(data) <= _ONE_STEP:
        return result
    path.write_bytes(data)
    return _Spooled(path)


def _fetched(result: Result | _Spooled) -> Result:
    if not isinstance(result, _Spooled):
        return result
    data = result.path.read_bytes()
    result.path.unlink()
    fetched: Result = pickle.loads(data)  # noqa: S301 - ours, in a folder for this user alone
    return fetched


@contextlib.contextmanager
def _spool_folder() -> Iterator[Path]:
    """Make a folder for results on their way, and remove what killed processes left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SPOOL}*"):
        owner = re.match(rf"{_SPOOL}(\d+)-", folder.name)
        if owner and not _is_alive(int(owner[1])):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=_own_folder(os.getpid())) as name:
        yield Path(name)


@cache
def _own_folder(process: int) -> Path:
    """Make the folder of this process, which is removed when it ends; after SIGKILL by another one.

    One for all calls: workers serve several, and keep the place where they look for arrays.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{_SPOOL}{process}-"))
    atexit.register(_remove_own, folder, process)
    return folder


def _remove_own(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not at the end of a fork
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of somebody else
        pass
    return True


def no_progress(items: Iterable[Any], total: int, description: str) -> Iterable[Any]:
    """Show nothing."""
    del total, description
    return items


def cluster_map(
    function: Callable[[Task, Common], Result],
    tasks: Iterable[Task],
    common: Common,
    scheduler: str,
) -> Generator[Result, None, None]:
    """Yield ``function(task, common)`` from a dask cluster as tasks finish, in no particular order.

    Nothing but the network need be shared: tasks, ``common`` and results travel over it, ``common``
    once a worker. No more than two tasks a thread are handed out at a time, and a result stays with
    its worker until the caller asks for it. Closing the generator takes back what is handed out.
    The cluster must be one that you trust: dask sends pickles both ways.

    Parameters
    ----------
    function
        Importable under its name on the scheduler and the workers.
    common
        What every call is given besides its task.
    scheduler
        Address of the dask scheduler, e.g. ``"tcp://host:8786"``.

    Raises
    ------
    UsageError
        If dask is not installed, or for a malformed address.
    InputOutputError
        If no scheduler answers, it is lost, or it has no workers; if one task was tried again and
        again and its workers always died.
    ModelError
        If the cluster has another release of this package, or none.
    """
    # Not joblib's own dask backend: with unordered results it waits for ever once a task's workers
    # have died (joblib 1.6.0), and it fetches results whether or not the caller has taken the last.
    with _quiet_dask(), _connected(scheduler) as client, _one_line_failures(scheduler):
        # A task of its own, not `scatter`: if its workers die, the scheduler can make it again.
        with importlib.import_module("dask").config.set(_ANY_SIZE):
            shared = client.submit(_as_it_is, common, pure=False)
        waiting, handed_out, looks_alone = iter(tasks), dict[Any, str](), 0
        while _hand_out(client, function, waiting, shared, handed_out):
            done = _done_soon(client, handed_out)
            looks_alone = 0 if done or client.nthreads() else looks_alone + 1
            if looks_alone == _LOOKS_ALONE:
                raise _no_workers(scheduler)
            if done:  # one at a time: whoever is out of work is given more before the next
                future = done.pop()
                del handed_out[future]
                yield future.result()


def require_dask() -> Any:
    """Return the module ``distributed``; UsageError if it is not installed."""
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise UsageError(
            "a dask cluster needs dask.distributed, which is not installed; run "
            ".venv/bin/pip install -c constraints.txt -e '.[distributed]'"
        ) from None


@contextmanager
def worker_folder() -> Iterator[Path]:
    """Yield an empty folder on the disk of the dask worker that runs this; removed afterwards."""
    # Within dask's own folder, which dask clears even of workers that were killed.
    with TemporaryDirectory(dir=require_dask().get_worker().local_directory) as folder:
        yield Path(folder)


def _as_it_is(common: Common) -> Common:
    return common


def _hand_out(
    client: Any,
    function: Callable[[Task, Common], Result],
    waiting: Iterator[Task],
    shared: Any,
    handed_out: dict[Any, str],
) -> bool:
    """Give each worker what it has room for; return whether anything is handed out.

    Each task is meant for one worker, though dask may move it: left to itself, dask gives a task
    to the workers that have ``shared`` already, at first a single one.
    """
    load = Counter(handed_out.values())
    room = {a: n * _TASKS_PER_THREAD for a, n in client.nthreads().items()} or {"": 1}
    places = sorted((n, address) for address in room for n in range(load[address], room[address]))
    for (_, address), task in zip(places, waiting, strict=False):
        place = {"workers": [address], "allow_other_workers": True} if address else {}
        future = client.submit(function, task, shared, pure=False, **place)
        handed_out[future] = address
    return bool(handed_out)


def _done_soon(client: Any, futures: Iterable[Any]) -> set[Any]:
    """Return futures that are done as soon as there is one; after a while, none."""
    try:
        with client.as_current():
            wait = require_dask().wait
            done: set[Any] = wait(list(futures), _LOOK_SECONDS, "FIRST_COMPLETED").done
    except TimeoutError:
        return set()
    return done


def _no_workers(scheduler: str) -> InputOutputError:
    return InputOutputError(
        f"the dask scheduler at {scheduler} has no workers; start some with "
        f"`dask worker {scheduler}` and repeat"
    )


def _check_installed(client: Any) -> None:
    """Raise ModelError for another release on the cluster: what it cannot load ends a worker."""
    versions = client.get_versions(packages=[_PACKAGE])
    mine = versions["client"]["packages"][_PACKAGE]
    for node, found in {"the scheduler": versions["scheduler"], **versions["workers"]}.items():
        theirs = found["packages"].get(_PACKAGE)
        if theirs != mine:
            raise ModelError(
                f"expected {_PACKAGE} {mine} on {node} of the dask cluster, found "
                f"{theirs or 'none'}; check the same release out there and run "
                ".venv/bin/pip install -c constraints.txt -e '.[pipeline,distributed]'"
            )


@contextmanager
def _quiet_dask() -> Iterator[None]:
    """Keep dask from printing tracebacks of what becomes an error of one line here."""
    require_dask()  # sets levels of its own when it is imported
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    distributed = require_dask()
    try:
        identity = asyncio.run(_identity(scheduler))
        if identity["type"] != "Scheduler":
            raise ValueError(f"a {identity['type']} answers")
        client = distributed.Client(scheduler, timeout=_ANSWER_SECONDS, set_as_default=False)
    except ValueError as error:
        raise UsageError(
            f"{scheduler!r} is no address of a dask scheduler: {error}; "
            "expected one like tcp://host:8786"
        ) from None
    except Exception as error:  # whatever may listen there says anything at all
        raise InputOutputError(
            f"no dask scheduler answers at {scheduler}: {str(error) or 'timed out'}; "
            "start one with `dask scheduler`, or look at the address and the network"
        ) from None
    with client:
        _check_installed(client)
        yield client


async def _identity(scheduler: str) -> dict[str, Any]:
    """Ask a scheduler who it is: a client would wait for ever for what is none."""
    distributed = require_dask()
    arguments = distributed.Security().get_connection_args("client")
    async with (
        asyncio.timeout(_ANSWER_SECONDS),
        distributed.rpc(scheduler, connection_args=arguments) as remote,
    ):
        answer: dict[str, Any] = await remote.identity()
    return answer


@contextmanager
def _one_line_failures(scheduler: str) -> Iterator[None]:
    """Turn what happens to a cluster into errors of one line."""
    distributed = require_dask()
    try:
        yield
    except distributed.KilledWorker as error:
        raise InputOutputError(
            f"{error.allowed_failures + 1} workers of {scheduler} died of the same task, out of "
            "memory perhaps; give workers more memory or fewer threads and repeat"
        ) from None
    except (distributed.CancelledError, distributed.comm.CommClosedError):
        raise InputOutputError(
            f"lost the dask scheduler at {scheduler}; what is finished is kept, repeat to go on"
        ) from None
