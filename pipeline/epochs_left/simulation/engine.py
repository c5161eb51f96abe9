"""What every training engine offers to the runner."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.schema import EPOCH_MEASURES
from epochs_left.workloads import Workload


class EpochBuffers:
    """Column buffers for ``capacity`` epoch rows, reused from block to block.

    Attributes
    ----------
    run, epoch
        Index of the run and epoch t of each row, shape ``(capacity,)``, int32.
    columns
        Measures in the order of ``schema.EPOCH_MEASURES``, then the parameters; float32, shape
        ``(n_measures + n_params, capacity)``, so that each column is contiguous.
    """

    def __init__(self, capacity: int, n_params: int) -> None:
        self.run = np.zeros(capacity, dtype=np.int32)
        self.epoch = np.zeros(capacity, dtype=np.int32)
        self.columns = np.zeros((len(EPOCH_MEASURES) + n_params, capacity), dtype=np.float32)


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
        Measures in the order of ``schema.EPOCH_MEASURES``, then the parameters; shape
        ``(n_measures + n_params, rows)``, float32.
    """

    first_run: int
    n_runs: int
    run: IntArray
    epoch: IntArray
    columns: FloatArray


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


class EngineModule(Protocol):
    """A module of this package that trains workloads whose ``engine`` is the module's name."""

    ENGINE_VERSION: str

    def build_engine(
        self, workload: Workload, runs: pa.Table, settings: Any, root_seed: int
    ) -> Engine:
        """Return an engine for runs of one parameter width."""
        ...


def engine_module(name: str) -> EngineModule:
    """Return the engine module called ``name``; imported on demand, since engines are heavy."""
    return cast("EngineModule", importlib.import_module(f"epochs_left.simulation.{name}"))
