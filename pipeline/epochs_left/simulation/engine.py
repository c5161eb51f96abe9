"""What every training engine offers to the runner."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import pyarrow as pa

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.workloads import TaskData, Workload


@dataclass(frozen=True, kw_only=True)
class EpochBlock:
    """Epoch rows of whole runs, in order; valid until the engine goes on.

    Attributes
    ----------
    first_run, n_runs
        The runs of the block, as positions in the engine's runs.
    run
        Position within the block of each row's run, shape ``(rows,)``, int32.
    epoch
        Epoch t, shape ``(rows,)``, int32.
    columns
        The other columns of `schema.epochs_schema` by name, float32: scalars of shape ``(rows,)``,
        lists of shape ``(rows, width)``.
    """

    first_run: int
    n_runs: int
    run: IntArray
    epoch: IntArray
    columns: Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """How each of n runs ended; arrays of shape ``(n,)``, complete once the blocks are consumed."""

    code: IntArray  # index into schema.OUTCOMES
    epoch: IntArray
    loss: FloatArray
    grad_norm: FloatArray


class Engine(Protocol):
    """Trains runs in order."""

    outcomes: Outcomes

    def blocks(self, chunk_runs: int) -> Iterator[EpochBlock]:
        """Train all runs, ``chunk_runs`` at a time, and yield their rows in blocks."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What an engine trains: runs that agree in the workload's ``shard_columns``.

    Attributes
    ----------
    runs
        The planned runs, in the order in which their rows are written.
    settings
        Settings of the family.
    root_seed
        Seed that all randomness derives from.
    data
        The examples of each task; empty where the engine has them.
    device
        Where to train: ``"cpu"`` or a CUDA device; compiled engines know the first alone.
    """

    runs: pa.Table
    settings: Any
    root_seed: int
    data: Mapping[str, TaskData]
    device: str = "cpu"


class EngineModule(Protocol):
    """A module of this package that trains workloads whose ``engine`` is the module's name."""

    ENGINE_VERSION: str

    def build_engine(self, workload: Workload, job: TrainingJob) -> Engine:
        """Return an engine for runs of one shard."""
        ...


def engine_module(name: str) -> EngineModule:
    """Return the engine module called ``name``; imported on demand, since engines are heavy."""
    return cast("EngineModule", importlib.import_module(f"epochs_left.simulation.{name}"))
