"""From a workload's settings to its run store: plan, train shard by shard, publish.

Finished shards stay in a work folder that is named by the hash of everything that determines their
bytes. A run that was stopped finds them again; a change of settings, code or libraries does not.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.parallel import Progress, no_progress, parallel_map
from epochs_left.schema import OUTCOMES, RUNS, SCHEMA_VERSION
from epochs_left.seeding import content_id
from epochs_left.simulation.compiled import source_fingerprint
from epochs_left.simulation.engine import Engine, engine_module
from epochs_left.storage.epoch_shards import ShardWriter
from epochs_left.storage.run_store import (
    FinishedShard,
    finish_shard,
    finished_shard,
    locked,
    prune_work_folders,
    publish_family,
    remove_temporaries,
)
from epochs_left.workloads import WORKLOADS

#: Sources whose edit must make new shards: whatever determines a row.
_SOURCES = (
    "dynamics",
    "schema.py",
    "seeding.py",
    "simulation",
    "storage/epoch_shards.py",
    "workloads",
)

#: Libraries whose release may change a rounding.
_LIBRARIES = ("numpy", "numba", "scipy")

#: Runs that an engine trains between two looks at its buffers; no byte depends on it.
CHUNK_RUNS = 256


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """One shard to train."""

    family: str
    settings: Any
    root_seed: int
    runs: pa.Table
    path: Path
    chunk_runs: int


def simulate_family(
    family: str,
    settings: Any,
    root_seed: int,
    *,
    folder: Path,
    work_root: Path,
    jobs: int,
    chunk_runs: int = CHUNK_RUNS,
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
    jobs
        Worker processes; the store has the same bytes for any number.
    chunk_runs
        Runs trained between two looks at the buffers; no byte depends on it either.

    Raises
    ------
    InputOutputError
        If another process simulates the same family, or a file cannot be written.
    """
    work_root.mkdir(parents=True, exist_ok=True)
    with locked(work_root / f"{family}.lock"):
        identity = _identity(family, settings, root_seed)
        work = work_root / f"{family}-{content_id({'identity': json.dumps(identity)})}"
        work.mkdir(exist_ok=True)
        remove_temporaries(work)
        remove_temporaries(folder.parent, folder.name)
        tasks = list(_tasks(family, settings, root_seed, work, chunk_runs))
        shards = list(progress(parallel_map(train_shard, tasks, jobs), len(tasks), family))
        manifest = publish_family(folder, sorted(shards, key=lambda shard: shard.name), identity)
        prune_work_folders(work_root, family, keep=work)
    return manifest


def train_shard(task: ShardTask) -> FinishedShard:
    """Train one shard, or return it if it stands finished and whole in the work folder."""
    finished = finished_shard(task.path)
    if finished is not None:
        return finished
    workload = WORKLOADS[task.family]
    engine = engine_module(workload.engine).build_engine(
        workload, task.runs, task.settings, task.root_seed
    )
    run_ids = task.runs["run_id"].to_pylist()
    writer = ShardWriter(task.path, task.runs["n_params"][0].as_py())
    try:
        for block in engine.blocks(task.chunk_runs):
            ids = run_ids[block.first_run : block.first_run + block.n_runs]
            writer.write(ids, block.run, block.epoch, block.columns)
        hashes = writer.publish()
    finally:
        writer.abandon()
    return finish_shard(task.path, hashes, _with_outcomes(task, engine))


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


def _tasks(
    family: str, settings: Any, root_seed: int, work: Path, chunk_runs: int
) -> Iterator[ShardTask]:
    """Cut the plan into shards: one parameter width each, in the order of the plan."""
    plan = WORKLOADS[family].plan(settings, root_seed)
    widths = plan["n_params"].to_numpy()
    number = 0
    for width in np.unique(widths):
        of_width = np.flatnonzero(widths == width)
        for start in range(0, of_width.size, settings.runs_per_shard):
            rows = of_width[start : start + settings.runs_per_shard]
            yield ShardTask(
                family=family,
                settings=settings,
                root_seed=root_seed,
                runs=plan.take(rows),
                path=work / f"epochs-{number:04d}.parquet",
                chunk_runs=chunk_runs,
            )
            number += 1


def _identity(family: str, settings: Any, root_seed: int) -> dict[str, Any]:
    """Everything that determines the bytes of a family's shards."""
    return {
        "schema_version": SCHEMA_VERSION,
        "family": family,
        "root_seed": root_seed,
        "settings": asdict(settings),
        "code": source_fingerprint(*_SOURCES),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "platform": f"{platform.system()}-{platform.machine()}",
    }
