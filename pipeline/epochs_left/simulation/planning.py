"""What a family's shards are made of: the examples, the cut of the plan, and their identity."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.errors import UsageError
from epochs_left.schema import SCHEMA_VERSION
from epochs_left.simulation.compiled import source_fingerprint
from epochs_left.storage.datasets import load_dataset, load_text
from epochs_left.workloads import WORKLOADS, Source, TaskData, Workload

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
_LIBRARIES = ("numpy", "numba", "scipy", "torch")

#: Read with the code, not later: a worker that outlives an update still runs what it has loaded.
ENVIRONMENT: dict[str, Any] = {
    "code": source_fingerprint(*_SOURCES),
    "libraries": {name: version(name) for name in _LIBRARIES},
    "platform": f"{platform.system()}-{platform.machine()}",
}


def task_data(family: str, settings: Any, root_seed: int) -> dict[str, TaskData]:
    """Read and prepare the examples of every task that the engine does not have.

    Raises
    ------
    UsageError
        If the settings ask for what a data set does not hold.
    InputOutputError, DataError
        If a local data set cannot be read, or is not what it should be.
    """
    workload = WORKLOADS[family]
    sources = workload.sources(settings)
    plan = workload.plan(settings, root_seed)
    found = {}
    for task in sorted(set(plan["task"].to_pylist())):
        read = _read(sources[task]) if task in sources else None
        try:
            data = workload.task_data(task, settings, read, root_seed)
        except ValueError as error:
            raise UsageError(f"params.yaml: {family}, task {task}: {error}") from None
        if data is not None:
            found[task] = data
    return found


def _read(source: Source) -> Any:
    if source.name == "text":
        return load_text(source.path)
    return load_dataset(source.name, source.path, source.limit)


def cut(workload: Workload, plan: pa.Table, runs_per_shard: int) -> Iterator[pa.Table]:
    """Cut the plan into shards of runs that agree in the workload's ``shard_columns``."""
    columns = [*workload.shard_columns, *workload.order_columns]
    frame = plan.select(columns).to_pandas()
    for _, group in frame.groupby(list(workload.shard_columns), sort=True):
        rows = group.sort_values(columns, kind="stable").index.to_numpy()
        for start in range(0, rows.size, runs_per_shard):
            yield plan.take(rows[start : start + runs_per_shard])


def identity_of(
    family: str, settings: Any, root_seed: int, data: Mapping[str, TaskData], device: str
) -> dict[str, Any]:
    """Everything that determines the bytes of a family's shards."""
    return {
        "schema_version": SCHEMA_VERSION,
        "family": family,
        "root_seed": root_seed,
        "settings": asdict(settings),
        "data": {task: _digest(examples) for task, examples in data.items()},
        **ENVIRONMENT,
        "device": device.partition(":")[0],
    }


def _digest(data: TaskData) -> str:
    """Return a hash of a task's examples."""
    digest = hashlib.sha256()
    for name, values in sorted(asdict(data).items()):
        described = f"{name} {values.shape} {values.dtype}" if _is_array(values) else f"{name}"
        digest.update(described.encode())
        digest.update(values.tobytes() if _is_array(values) else str(values).encode())
    return digest.hexdigest()


def _is_array(values: object) -> bool:
    return isinstance(values, np.ndarray)
