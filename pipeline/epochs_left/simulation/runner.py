"""From a workload's settings to its run store: plan, train shard by shard, publish.

Finished shards stay in a work folder that is named by the hash of everything that determines their
bytes. A run that was stopped finds them again; a change of settings, code or libraries does not.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.errors import ModelError, UsageError
from epochs_left.parallel import Progress, cluster_map, no_progress, parallel_map, worker_folder
from epochs_left.schema import OUTCOMES, RUNS, epochs_schema
from epochs_left.seeding import content_id
from epochs_left.simulation.devices import accelerator, check_device
from epochs_left.simulation.engine import Engine, TrainingJob, engine_module
from epochs_left.simulation.planning import cut, environment, identity_of, task_data, tensors_of
from epochs_left.storage.atomic import make_writable, remove_temporaries
from epochs_left.storage.epoch_shards import ShardWriter
from epochs_left.storage.locks import locked
from epochs_left.storage.packed_shards import PackedShard, pack_shard, unpack_shard
from epochs_left.storage.run_store import (
    FinishedShard,
    finish_shard,
    finished_shard,
    prune_work_folders,
    publish_family,
)
from epochs_left.workloads import WORKLOADS, TaskData

#: Runs that an engine trains between two looks at its buffers; no byte depends on it.
CHUNK_RUNS = 256


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How shards are trained; no byte depends on the workers, where they are, or the chunk.

    Attributes
    ----------
    jobs
        Worker processes of this machine.
    chunk_runs
        Runs that a compiled engine trains between two looks at its buffers.
    device
        Where the network families train: ``"cpu"`` or a CUDA device.
    scheduler
        Address of a dask scheduler; its workers train, whatever ``jobs`` says. None: this machine.
    """

    jobs: int = 1
    chunk_runs: int = CHUNK_RUNS
    device: str = "cpu"
    scheduler: str | None = None


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """One shard to train."""

    family: str
    settings: Any
    root_seed: int
    runs: pa.Table
    path: Path
    data: Mapping[str, TaskData]
    execution: Execution


@dataclass(frozen=True, kw_only=True)
class ClusterCommon:
    """What all tasks on a cluster share: the data sets, and what must be installed there."""

    data: Mapping[str, TaskData]
    environment: dict[str, Any]


def simulate_family(
    family: str,
    settings: Any,
    root_seed: int,
    *,
    folder: Path,
    work_root: Path,
    execution: Execution,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Train every planned run of a family and publish the run store; return its manifest.

    Parameters
    ----------
    family
        Name of a registered workload.
    settings
        Its settings.
    root_seed
        Seed that all randomness derives from.
    folder
        Where the store appears, whole: ``data/runs/<family>``.
    work_root
        Where finished shards are kept for a resume.
    execution
        Workers and device.

    Raises
    ------
    UsageError
        If the device is not to be had, or the settings ask for what a data set does not hold.
    InputOutputError
        If another process simulates the same family, a file cannot be written, or a cluster is
        lost.
    ModelError
        If a cluster has other code, libraries or processors.
    KeyboardInterrupt
        With a message that says what is kept.
    """
    workload = WORKLOADS[family]
    check_device(execution.device, workload.engine)
    make_writable(folder.parent)
    make_writable(work_root)
    with locked(work_root / f"{family}.lock"):
        plan = workload.plan(settings, root_seed)
        data = task_data(family, settings, root_seed, set(plan["task"].to_pylist()))
        identity = identity_of(family, settings, root_seed, data, _gpu(execution))
        work = work_root / f"{family}-{content_id({'identity': json.dumps(identity)})}"
        work.mkdir(exist_ok=True)
        remove_temporaries(work)
        remove_temporaries(folder.parent, folder.name)
        tasks = [
            ShardTask(
                family=family,
                runs=runs,
                path=work / f"epochs-{number:04d}.parquet",
                settings=settings,
                root_seed=root_seed,
                data={task: data[task] for task in set(runs["task"].to_pylist()) & set(data)},
                execution=execution,
            )
            for number, runs in enumerate(cut(workload, plan, settings.runs_per_shard))
        ]
        common = ClusterCommon(data=data, environment={**environment(), "gpu": identity["gpu"]})
        with (
            _saying_what_is_kept(work, len(tasks)),
            closing(_trained(tasks, work, common, execution)) as trained,
        ):
            shards = sorted(progress(trained, len(tasks), family), key=lambda shard: shard.name)
        described = {**identity, "tensors": tensors_of(workload, plan)}
        manifest = publish_family(folder, shards, described)
        prune_work_folders(work_root, family, keep=work)
    return manifest


@contextmanager
def _saying_what_is_kept(work: Path, n_shards: int) -> Generator[None, None, None]:
    """Give an interrupt a message: what it did not cost."""
    try:
        yield
    except KeyboardInterrupt:
        kept = len(list(work.glob("epochs-*.json")))
        raise KeyboardInterrupt(
            f"{kept} of {n_shards} shards are kept in {work}; repeat the command to go on"
        ) from None


def _gpu(execution: Execution) -> str:
    """Return the name of the GPU that will train, here or on a cluster; empty for the CPU."""
    if execution.scheduler is None or execution.device == "cpu":
        return accelerator(execution.device)
    asked = cluster_map(_gpu_far_away, [execution.device], None, execution.scheduler)
    (name,) = asked
    return name


def _gpu_far_away(device: str, common: None) -> str:
    del common
    try:
        return accelerator(device)
    except UsageError as error:
        raise UsageError(f"worker {platform.node()}: {error}") from None


def _trained(
    tasks: Sequence[ShardTask], work: Path, common: ClusterCommon, execution: Execution
) -> Generator[FinishedShard, None, None]:
    """Yield the shard of each task as it is finished, by processes here or on a cluster."""
    if execution.scheduler is None:
        yield from parallel_map(train_shard, tasks, execution.jobs)
        return
    left = []
    for task in tasks:
        finished = finished_shard(task.path)
        if finished is None:
            left.append(replace(task, path=Path(task.path.name), data={}))
        else:
            yield finished
    if left:
        with closing(cluster_map(train_far_away, left, common, execution.scheduler)) as arriving:
            for packed in arriving:
                yield unpack_shard(packed, work)


def train_shard(task: ShardTask) -> FinishedShard:
    """Train one shard, or return it if it stands finished and whole in the work folder."""
    finished = finished_shard(task.path)
    if finished is not None:
        return finished
    _keep_denormals()
    workload = WORKLOADS[task.family]
    job = TrainingJob(
        runs=task.runs,
        settings=task.settings,
        root_seed=task.root_seed,
        data=task.data,
        device=task.execution.device,
    )
    engine = engine_module(workload.engine).build_engine(workload, job)
    run_ids = task.runs["run_id"].to_pylist()
    n_tensors = len(workload.tensors(task.runs["architecture"][0].as_py()))
    n_params = task.runs["n_params"][0].as_py()
    writer = ShardWriter(task.path, epochs_schema(n_params, workload.measures, n_tensors))
    try:
        for block in engine.blocks(task.execution.chunk_runs):
            ids = run_ids[block.first_run : block.first_run + block.n_runs]
            writer.write(ids, block.run, block.epoch, block.columns)
        hashes = writer.publish()
    finally:
        writer.abandon()
    return finish_shard(task.path, hashes, _with_outcomes(task, engine))


def _keep_denormals() -> None:
    """Undo, for this thread, what an engine of networks sets: it would change a neuron's bytes."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)


def train_far_away(task: ShardTask, common: ClusterCommon) -> PackedShard:
    """Train one shard on a worker of a cluster and return its files, which leave nothing there.

    Raises
    ------
    UsageError
        If the worker has no such device.
    ModelError
        If its code, libraries, processor or GPU are not the expected ones: its bytes might differ.
    """
    _check_environment(common.environment, _gpu_far_away(task.execution.device, None))
    with worker_folder() as folder:
        here = replace(task, path=folder / task.path.name, data=common.data)
        return pack_shard(train_shard(here))


def _check_environment(expected: Mapping[str, Any], gpu: str) -> None:
    mine, wanted = _flat({**environment(), "gpu": gpu}), _flat(expected)
    others = [
        f"{name} {mine[name]}, not {wanted[name]}" for name in mine if mine[name] != wanted[name]
    ]
    if others:
        raise ModelError(
            f"worker {platform.node()} has {'; '.join(others)}: its shards might differ; "
            "install the same release with the same constraints.txt there, or leave it out"
        )


def _flat(environment: Mapping[str, Any]) -> dict[str, str]:
    rest = {name: value for name, value in environment.items() if name != "libraries"}
    return {**rest, **environment["libraries"]}


def _with_outcomes(task: ShardTask, engine: Engine) -> pa.Table:
    """Return the planned runs of a shard with their outcomes, in the schema of runs.parquet."""
    outcomes = engine.outcomes
    name = WORKLOADS[task.family].engine
    known = {
        "outcome": [OUTCOMES[code].value for code in outcomes.code],
        "outcome_epoch": outcomes.epoch.astype(np.int32),
        "final_loss": outcomes.loss,
        "final_grad_norm": outcomes.grad_norm,
        "engine": [name] * task.runs.num_rows,
        "engine_version": [engine_module(name).ENGINE_VERSION] * task.runs.num_rows,
    }
    columns = {**{name: task.runs[name] for name in task.runs.column_names}, **known}
    arrays = [pa.chunked_array(_as_chunks(columns[field.name], field.type)) for field in RUNS]
    return pa.Table.from_arrays(arrays, schema=RUNS)


def _as_chunks(values: Any, kind: pa.DataType) -> list[pa.Array]:
    if isinstance(values, pa.ChunkedArray):
        return list(values.cast(kind).chunks)
    return [pa.array(values, kind)]
