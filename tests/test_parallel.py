"""Parallel work: the same results for any number of workers, and no task is dropped."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import distributed
import numpy as np
import psutil
import pytest

from epochs_left import parallel
from epochs_left.errors import InputOutputError, UsageError
from epochs_left.parallel import cluster_map, parallel_map

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


N_WORKERS = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[distributed.LocalCluster]:
    """Two worker processes of one thread each."""
    with distributed.LocalCluster(
        n_workers=N_WORKERS,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        local_directory=tmp_path_factory.mktemp("scratch"),
    ) as cluster:
        yield cluster


def test_a_cluster_does_every_task_once(cluster: distributed.LocalCluster) -> None:
    def shifted(number: int, common: np.ndarray) -> tuple[int, int, float]:
        return os.getpid(), number, float(common[number])

    common = np.arange(20) / 8
    done = list(cluster_map(shifted, range(20), common, cluster.scheduler_address))
    assert sorted((number, value) for _, number, value in done) == list(enumerate(common))
    workers = {pid for pid, *_ in done}
    assert len(workers) == N_WORKERS
    assert os.getpid() not in workers


def test_a_cluster_with_no_task_has_no_work(cluster: distributed.LocalCluster) -> None:
    assert list(cluster_map(max, [], 0, cluster.scheduler_address)) == []


def test_what_tasks_share_may_be_large(cluster: distributed.LocalCluster) -> None:
    def total(number: int, common: np.ndarray) -> float:
        return float(common.sum())

    common = np.ones(3_000_000)  # 24 MB; dask warns above 10 MB, and warnings are errors here
    assert set(cluster_map(total, range(4), common, cluster.scheduler_address)) == {3_000_000}


def test_a_slow_caller_is_not_run_over(cluster: distributed.LocalCluster, tmp_path: Path) -> None:
    def note(number: int, folder: Path) -> int:
        (folder / str(number)).touch()
        return number

    results = cluster_map(note, range(40), tmp_path, cluster.scheduler_address)
    with closing(results):
        for taken, _ in enumerate(results):
            time.sleep(0.3 if taken < 3 else 0)  # time for workers to run ahead
            assert len(list(tmp_path.iterdir())) <= taken + 2 * N_WORKERS


def test_closing_takes_back_what_is_handed_out(cluster: distributed.LocalCluster) -> None:
    def slow(number: int, common: None) -> None:
        time.sleep(0.2)

    with closing(cluster_map(slow, range(1000), None, cluster.scheduler_address)) as results:
        next(results)
    with distributed.Client(cluster, set_as_default=False) as client:
        deadline = time.monotonic() + 20
        while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_expected_failure_on_a_cluster_reaches_the_caller(
    cluster: distributed.LocalCluster,
) -> None:
    def refuse_three(number: int, common: None) -> int:
        if number == 3:
            raise InputOutputError("cannot write the third")
        return number

    with pytest.raises(InputOutputError, match="cannot write the third"):
        list(cluster_map(refuse_three, range(6), None, cluster.scheduler_address))


def test_a_cluster_without_workers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_LOOK_SECONDS", 0.02)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(InputOutputError, match=r"has no workers; start some with `dask worker tcp"),
    ):
        list(cluster_map(max, range(3), 0, empty.scheduler_address))


class Mute(socketserver.BaseRequestHandler):
    """Listens until the caller gives up."""

    def handle(self) -> None:
        while self.request.recv(1024):
            pass


class NoScheduler(Mute):
    """Says what a scheduler would not."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" * 9)
        super().handle()


@contextmanager
def listening(handler: type[Mute]) -> Iterator[int]:
    """The port of a server in a thread."""
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield server.server_address[1]
        thread.join(timeout=30)
        assert not thread.is_alive()


def refuse_within(seconds: float, port: int) -> None:
    started = time.monotonic()
    with pytest.raises(InputOutputError, match=f"no dask scheduler answers at tcp://.*:{port}: "):
        list(cluster_map(max, range(3), 0, f"tcp://127.0.0.1:{port}"))
    assert time.monotonic() - started < seconds


@pytest.mark.parametrize("handler", [Mute, NoScheduler])
def test_what_answers_and_is_no_scheduler_is_an_error(
    handler: type[Mute], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_ANSWER_SECONDS", 1.0)
    with listening(handler) as port:
        refuse_within(8, port)


def test_a_port_where_nothing_listens_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_ANSWER_SECONDS", 1.0)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        refuse_within(8, bound.getsockname()[1])


def test_a_scheduler_has_ten_seconds_to_answer() -> None:
    assert parallel._ANSWER_SECONDS <= 10


@pytest.mark.parametrize("address", ["banana", "http://host:8786", "tcp://host:port", ""])
def test_what_is_no_address_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match="expected one like tcp://host:8786"):
        list(cluster_map(max, range(3), 0, address))


def test_the_address_of_a_worker_is_a_usage_error(cluster: distributed.LocalCluster) -> None:
    address = next(iter(cluster.scheduler_info["workers"]))
    with pytest.raises(UsageError, match="a Worker answers"):
        list(cluster_map(max, range(3), 0, address))


@pytest.fixture
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where results wait on their way."""
    folder = tmp_path / "spools"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    parallel._own_folder.cache_clear()
    yield folder
    parallel._own_folder.cache_clear()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 900, 1_100, 1_000_000])
def test_results_of_any_size_come_back_whole(spools: Path, size: int) -> None:
    done = dict(parallel_map(lambda n: (n, bytes([n]) * size), range(5), 2))
    assert done == {n: bytes([n]) * size for n in range(5)}
    assert files_below(spools) == []


@pytest.mark.parametrize("size", [0, 1_000, 1_000_000])
def test_nothing_goes_through_a_workers_pipe_that_its_death_could_cut(
    tmp_path: Path, size: int
) -> None:
    """A system writes 4,096 bytes into a pipe in one step; joblib adds an envelope."""
    sent = parallel._sent(b"x" * size, tmp_path / "0")
    assert len(pickle.dumps(sent)) < 2_048
    assert parallel._fetched(sent) == b"x" * size
    assert list(tmp_path.iterdir()) == []


# loky's manager thread may look for a task that the close has withdrawn; it says so and ends.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_results_that_nobody_fetched_are_removed(spools: Path) -> None:
    results = parallel_map(lambda n: bytes([n]) * 10_000, range(4), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert files_below(spools) == []


def test_results_of_killed_processes_are_removed_and_those_of_living_ones_stay(
    spools: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    names = [f"epochs-left-results-{pid}-x" for pid in (gone.pid, os.getpid(), 1)]
    for name in [*names, "epochs-left-results-x"]:
        (spools / name).mkdir()
        (spools / name / "0").touch()
    assert sorted(parallel_map(str, range(2), 2)) == ["0", "1"]
    own = parallel._own_folder(os.getpid()).name
    assert {path.name for path in spools.iterdir()} == {*names[1:], "epochs-left-results-x", own}
    assert own not in names


def test_the_folder_of_a_process_ends_with_it_and_not_with_its_forks(tmp_path: Path) -> None:
    program = """
import os, sys
from epochs_left.parallel import parallel_map

assert sorted(parallel_map(str, range(3), 2)) == ["0", "1", "2"]
(folder,) = os.listdir(os.environ["TMPDIR"])
if os.fork() == 0:
    sys.exit()  # runs what is registered for the end
assert os.wait()[1] == 0
assert os.listdir(os.environ["TMPDIR"]) == [folder]
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


LARGE = """
import sys, time
from pathlib import Path
import numpy as np
from epochs_left.parallel import parallel_map

def sleep(values):
    (Path(sys.argv[1]) / str(values[0])).touch()
    time.sleep(60)

list(parallel_map(sleep, [np.full(1_000_000, float(n)) for n in range(2)], 2))
"""


def test_large_arrays_of_a_killed_process_are_removed_by_the_next(
    tmp_path: Path, spools: Path
) -> None:
    """All its processes at once, so that none of them can tidy up."""
    flags = tmp_path / "flags"
    flags.mkdir()
    command = [sys.executable, "-c", LARGE, str(flags)]
    environment = {**os.environ, "TMPDIR": str(spools)}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while len(list(flags.iterdir())) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert sum(path.stat().st_size for path in files_below(spools)) > 10_000_000
    assert not list(Path("/dev/shm").glob(f"joblib_memmapping_folder_{process.pid}_*"))
    assert sorted(parallel_map(str, range(2), 2)) == ["0", "1"]
    assert not list(spools.glob(f"epochs-left-results-{process.pid}-*"))


def is_alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


ORPHANS = """
import os, sys, time
from pathlib import Path
from epochs_left.parallel import parallel_map

def sleep(number):
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(60)

list(parallel_map(sleep, range(2), 2))
"""


def test_workers_end_with_the_process_that_they_work_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHANS, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_a_worker_keeps_for_its_next_task_is_no_leak() -> None:
    def keep(number: int) -> int:
        # in a module, which a worker has of its own: 160 MB a task
        vars(os).setdefault("kept", []).append(np.ones(20_000_000))
        time.sleep(1.1)  # loky looks at the memory once a second
        return os.getpid()

    assert len(set(parallel_map(keep, range(10), 2))) == 2


def test_workers_are_in_the_folder_of_their_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert set(parallel_map(lambda _: Path.cwd(), range(2), 2)) == {tmp_path / name}
