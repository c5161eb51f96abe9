"""Shards from a dask cluster: the same bytes, with nothing shared but the network."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import distributed
import numpy as np
import pytest
import torch

from epochs_left.config import parse_settings
from epochs_left.errors import InputOutputError, ModelError, UsageError
from epochs_left.simulation import runner
from epochs_left.simulation.engine import EngineModule
from epochs_left.simulation.planning import ENVIRONMENT
from epochs_left.simulation.runner import Execution, ShardTask, simulate_family
from epochs_left.stages import simulate as stage
from epochs_left.storage.packed_shards import PackedShard
from epochs_left.storage.params import merged, write_params
from epochs_left.workloads import WORKLOADS

# Workers cannot import test modules: what they run is defined inside of functions.

SMALL = {
    "neuron": {"runs": 60, "runs_per_shard": 10},
    "mlp": {"runs": 16, "runs_per_shard": 4, "max_epochs": 4},
}
N_WORKERS = 2


def sealed_off(forbidden: Path, folders: Path) -> distributed.WorkerPlugin:
    """A plugin that gives each worker an empty folder of its own and refuses it the client's."""

    class SealedOff(distributed.WorkerPlugin):
        def setup(self, worker: distributed.Worker) -> None:  # noqa: ARG002
            own = folders / str(os.getpid())
            own.mkdir()
            os.chdir(own)
            sys.addaudithook(self.refuse)

        def refuse(self, event: str, arguments: tuple[Any, ...]) -> None:
            paths = [str(a) for a in arguments if isinstance(a, str | os.PathLike)]
            if any(path.startswith(str(forbidden)) for path in paths):
                raise PermissionError(f"{event} {paths}: a file of the client")

    return SealedOff()


@pytest.fixture(scope="module")
def client_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the client works; its workers may not look into it."""
    return tmp_path_factory.mktemp("client")


@pytest.fixture
def folder(client_root: Path, tmp_path: Path) -> Path:
    """A folder of the client for one test."""
    mine = client_root / tmp_path.name
    mine.mkdir()
    return mine


@pytest.fixture(scope="module")
def cluster(
    client_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[distributed.LocalCluster]:
    """Two worker processes, and a scheduler that gives a task up when two workers have died."""
    workers = tmp_path_factory.mktemp("workers")
    (workers / "own").mkdir()
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=N_WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            local_directory=workers / "scratch",
            env={"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},  # dask would set them to 1
        ) as cluster,
    ):
        with distributed.Client(cluster, set_as_default=False) as client:
            client.register_plugin(sealed_off(client_root, workers / "own"))
        yield cluster


@contextmanager
def asked(cluster: distributed.LocalCluster) -> Iterator[distributed.Client]:
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(N_WORKERS, timeout=30)
        yield client


Simulate = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def simulate(small_params: dict[str, Any]) -> Simulate:
    """Simulate a family in a folder; return the SHA-256 of each file of its store."""

    def run(root: Path, family: str, **execution: Any) -> dict[str, str]:
        kind = WORKLOADS[family].settings_type
        settings = parse_settings(kind, {**small_params[family], **SMALL[family]}, family)
        simulate_family(
            family,
            settings,
            7,
            folder=root / "runs" / family,
            work_root=root / "work",
            execution=Execution(**execution),
        )
        store = root / "runs" / family
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in store.iterdir()
        }

    return run


@pytest.fixture(scope="module")
def expected(simulate: Simulate, client_root: Path) -> dict[str, dict[str, str]]:
    """Hashes of what loky's processes make."""
    return {family: simulate(client_root / "loky", family, jobs=2) for family in SMALL}


def finished(root: Path) -> dict[str, int]:
    """Finished shards in the work folder, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in root.glob("work/*/*.json")}


# The neuron comes second: what the networks' engine sets in a worker must not reach it.
@pytest.mark.parametrize("family", ["mlp", "neuron"])
def test_files_have_the_bytes_that_loky_makes_and_workers_keep_nothing(
    folder: Path,
    simulate: Simulate,
    cluster: distributed.LocalCluster,
    expected: dict[str, dict[str, str]],
    family: str,
) -> None:
    def kept(dask_worker: distributed.Worker) -> list[str]:
        scratch = Path(dask_worker.local_directory).rglob("*.parquet")
        return [str(path) for path in (*Path.cwd().iterdir(), *scratch)]

    assert simulate(folder, family, scheduler=cluster.scheduler_address) == expected[family]
    with asked(cluster) as client:
        assert list(client.run(kept).values()) == [[]] * N_WORKERS


def test_a_worker_that_opened_a_file_of_the_client_would_be_noticed(
    folder: Path, cluster: distributed.LocalCluster
) -> None:
    (folder / "file").touch()
    path = str(folder / "file")
    with asked(cluster) as client, pytest.raises(PermissionError, match="a file of the client"):
        client.submit(lambda: Path(path).read_bytes(), pure=False).result()


def test_networks_train_in_one_thread_a_worker(
    folder: Path, simulate: Simulate, cluster: distributed.LocalCluster
) -> None:
    simulate(folder, "mlp", scheduler=cluster.scheduler_address)
    with asked(cluster) as client:
        threads = [
            client.submit(torch.get_num_threads, workers=[address], pure=False).result()
            for address in client.nthreads()
        ]
    assert threads == [1] * N_WORKERS


def test_a_killed_worker_costs_no_shard(
    folder: Path,
    simulate: Simulate,
    cluster: distributed.LocalCluster,
    expected: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    train, died = runner.train_far_away, tmp_path / "died"

    def die_once(task: ShardTask, common: Any) -> PackedShard:
        packed = train(task, common)
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return packed

    monkeypatch.setattr(runner, "train_far_away", die_once)
    assert simulate(folder, "mlp", scheduler=cluster.scheduler_address) == expected["mlp"]
    assert died.exists()


def test_a_shard_that_kills_its_workers_is_an_error_and_the_others_are_kept(
    folder: Path,
    simulate: Simulate,
    cluster: distributed.LocalCluster,
    expected: dict[str, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = runner.train_far_away

    def die_of_the_last(task: ShardTask, common: Any) -> PackedShard:
        if task.path.name == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return train(task, common)

    last = max(name for name in expected["neuron"] if name.startswith("epochs-"))
    with monkeypatch.context() as patch:
        patch.setattr(runner, "train_far_away", die_of_the_last)
        with pytest.raises(InputOutputError, match=r"2 workers of tcp://.* died of the same task"):
            simulate(folder, "neuron", scheduler=cluster.scheduler_address)
    kept = finished(folder)
    assert kept
    assert simulate(folder, "neuron", scheduler=cluster.scheduler_address) == expected["neuron"]
    assert kept.items() <= finished(folder).items()


def test_finished_shards_are_found_without_asking_the_cluster(
    folder: Path, simulate: Simulate, expected: dict[str, dict[str, str]]
) -> None:
    simulate(folder, "neuron")
    assert simulate(folder, "neuron", scheduler="tcp://127.0.0.1:1") == expected["neuron"]


STAGE = """
import signal, sys
from epochs_left.stages.__main__ import main
from epochs_left.stages._command import run_stage

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["stages", "simulate", "neuron", "--backend", "dask", "--scheduler", sys.argv[1]]
run_stage(main)
"""


def test_interrupting_takes_everything_back_and_keeps_what_is_finished(
    folder: Path, small_params: dict[str, Any], cluster: distributed.LocalCluster
) -> None:
    (folder / "pipeline").mkdir()
    many = merged(small_params, {"neuron": {"runs": 20_000, "runs_per_shard": 100}})
    write_params(folder / "pipeline" / "params.yaml", many)
    command = [sys.executable, "-c", STAGE, cluster.scheduler_address]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as interrupted:
        while not list(folder.glob("data/.work/neuron-*/*.json")):
            assert interrupted.poll() is None
            time.sleep(0.05)
        interrupted.send_signal(signal.SIGINT)
        code, said = interrupted.wait(timeout=20), interrupted.communicate()[1]
    kept = len(list(folder.glob("data/.work/neuron-*/*.json")))
    assert code == 130
    assert said.startswith(f"epochs-left: interrupted: {kept} of 2")
    assert said.count("\n") == 1
    assert said.endswith("repeat the command to go on\n")
    with asked(cluster) as client:
        deadline = time.monotonic() + 20
        while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_other_libraries_on_the_cluster_are_refused(
    folder: Path,
    simulate: Simulate,
    cluster: distributed.LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    libraries = {**ENVIRONMENT["libraries"], "numpy": "1.0"}
    monkeypatch.setitem(ENVIRONMENT, "libraries", libraries)
    with pytest.raises(ModelError, match=rf"numpy {np.__version__}, not 1\.0"):
        simulate(folder, "neuron", scheduler=cluster.scheduler_address)


def test_a_shard_does_not_depend_on_what_its_thread_did_before(
    folder: Path, simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    denormals = []
    find = runner.engine_module

    def note(name: str) -> EngineModule:
        denormals.append(float(np.float32(1e-38) * np.float32(0.1)))
        return find(name)

    monkeypatch.setattr(runner, "engine_module", note)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor always keeps denormals")
    try:
        simulate(folder, "neuron")
    finally:
        torch.set_flush_denormal(False)
    assert denormals
    assert min(denormals) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_workers_without_the_device_say_so(
    folder: Path, simulate: Simulate, cluster: distributed.LocalCluster
) -> None:
    with pytest.raises(UsageError, match=r"worker .*: device cuda: PyTorch .* finds no CUDA"):
        simulate(folder, "mlp", scheduler=cluster.scheduler_address, device="cuda")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "dask"], "add --scheduler"),
        (["--backend", "dask", "--scheduler", ""], "add --scheduler"),
        (["--scheduler", "tcp://host:8786"], "add --backend dask"),
        (["--backend", "loky", "--scheduler", "tcp://host:8786"], "add --backend dask"),
    ],
)
def test_options_that_do_not_agree_are_refused(
    options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate", "neuron", *options])
    with pytest.raises(UsageError, match=message):
        stage.main()


@pytest.mark.parametrize(("backend", "scheduler"), [("dask", "tcp://host:8786"), ("loky", None)])
def test_options_that_agree_are_accepted(backend: str, scheduler: str | None) -> None:
    stage.check_backend(backend, scheduler)


def test_without_dask_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    command = r"\.venv/bin/pip install -c constraints\.txt -e '\.\[distributed\]'"
    with pytest.raises(UsageError, match=command):
        stage.check_backend("dask", "tcp://host:8786")
    contributing = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    assert re.search(command, contributing)
    stage.check_backend("loky", None)
