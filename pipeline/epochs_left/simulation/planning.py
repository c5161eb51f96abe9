"""What a family's shards are made of: the examples, the cut of the plan, and their identity."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.compiled import source_fingerprint
from epochs_left.errors import UsageError
from epochs_left.schema import SCHEMA_VERSION
from epochs_left.simulation.devices import processor
from epochs_left.storage.datasets import load_dataset, load_text
from epochs_left.storage.params import PARAMS
from epochs_left.workloads import WORKLOADS, Source, TaskData, Workload

#: Sources whose edit must make new shards: whatever determines a row.
SOURCES = (
    "compiled.py",
    *(
        f"dynamics/{name}.py"
        for name in ("criterion", "curve_prior", "geometry", "schedules", "sketch", "xor")
    ),
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
    "code": source_fingerprint(*SOURCES),
    "libraries": {name: version(name) for name in _LIBRARIES},
    "platform": f"{platform.system()}-{platform.machine()}",
}


#: Settings that no byte on the CPU depends on: another value finds the same shards.
_WITHOUT_EFFECT = ("lanes",)


def environment() -> dict[str, Any]:
    """Return what the bytes of a shard depend on besides its settings: code, libraries, processor.

    The processor is asked for when it is wanted: the answer is PyTorch's, whose import takes
    seconds that a compiled engine need not wait for.
    """
    return {**ENVIRONMENT, "processor": processor()}


def task_data(
    family: str, settings: Any, root_seed: int, tasks: Collection[str] | None = None
) -> dict[str, TaskData]:
    """Read and prepare the examples of every task that the engine does not have.

    Parameters
    ----------
    tasks
        Tasks to read; None: those of the plan, which is made for it.

    Raises
    ------
    UsageError
        If the settings ask for what a data set does not hold.
    InputOutputError, DataError
        If a local data set cannot be read, or is not what it should be.
    """
    workload = WORKLOADS[family]
    sources = workload.sources(settings)
    if tasks is None:
        tasks = set(workload.plan(settings, root_seed)["task"].to_pylist())
    found = {}
    for task in sorted(tasks):
        read = _read(sources[task]) if task in sources else None
        try:
            data = workload.task_data(task, settings, read, root_seed)
        except ValueError as error:
            where = f" from {sources[task].path}" if task in sources and sources[task].path else ""
            raise UsageError(f"{PARAMS}: {family}: task {task}{where}: {error}") from None
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
    family: str, settings: Any, root_seed: int, data: Mapping[str, TaskData], gpu: str
) -> dict[str, Any]:
    """Return everything that determines the bytes of a family's shards.

    Parameters
    ----------
    gpu
        Name of the GPU that trains; empty for the CPU.
    """
    # which kernel a GPU's library takes may depend on the number of matrices
    idle = () if gpu else _WITHOUT_EFFECT
    return {
        "schema_version": SCHEMA_VERSION,
        "family": family,
        "root_seed": root_seed,
        "settings": {name: v for name, v in asdict(settings).items() if name not in idle},
        "data": {task: _digest(examples) for task, examples in data.items()},
        **environment(),
        "device": "cuda" if gpu else "cpu",
        "gpu": gpu,
    }


def tensors_of(workload: Workload, plan: pa.Table) -> dict[str, list[list[Any]]]:
    """Return name and shape of each tensor of each architecture in the plan, in recorded order."""
    architectures = sorted(set(plan["architecture"].to_pylist()))
    return {
        name: [[tensor.name, list(tensor.shape)] for tensor in workload.tensors(name)]
        for name in architectures
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
