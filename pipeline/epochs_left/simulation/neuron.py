"""Compiled engine of the neuron family: one run at a time into reused column buffers.

One run at a time beats lanes here: a run of three parameters lives in registers, and ends when it
ends. Buffers are reused because the first touch of a page costs more than the arithmetic.

Arithmetic is float64 (in float32 the stuck test at 1e-8 never fires); records are float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.criterion import RUNNING, Criterion
from epochs_left.errors import UsageError
from epochs_left.schema import EPOCH_MEASURES, scalar_param_names
from epochs_left.simulation.engine import EpochBlock, Outcomes, TrainingJob
from epochs_left.simulation.neuron_kernels import ACTIVATIONS, N_MEASURES, train_runs
from epochs_left.workloads import Workload
from epochs_left.workloads._sweep import order_keys
from epochs_left.workloads.neuron import n_hidden

ENGINE_VERSION = "1"

#: Rows of a block, and so of a Parquet row group: large enough for the encoder, small enough for
#: the caches and for a reader's memory.
BLOCK_ROWS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class NeuronRuns:
    """What the engine needs of ``n`` runs of one architecture with P parameters."""

    n_hidden: int  # 0: the unit |w.x + b| itself
    activation: IntArray  # (n,), index into ACTIVATIONS
    params: FloatArray  # (n, P) float64, initial parameters
    lr: FloatArray  # (n,)
    momentum: FloatArray  # (n,)
    nesterov: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (n,)
    online: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (n,): one example a step, else all four
    order_key: np.ndarray[tuple[int, int], np.dtype[np.uint32]]  # (n, 2)
    fork: OrderFork | None = None


@dataclass(frozen=True, kw_only=True)
class OrderFork:
    """Where n runs change to sample orders of another key, which makes them branches of a run."""

    epoch: IntArray  # (n,), passes under the run's own key
    order_key: np.ndarray[tuple[int, int], np.dtype[np.uint32]]  # (n, 2), of the passes after it


def build_engine(workload: Workload, job: TrainingJob) -> NeuronEngine:
    """Return the engine for planned runs of one parameter width.

    Raises
    ------
    UsageError
        For a device other than the CPU.
    """
    return NeuronEngine(_neuron_runs(workload, job), job.settings.criterion)


def branch_outcomes(
    workload: Workload,
    job: TrainingJob,
    epoch: int,
    order_keys: np.ndarray[tuple[int, int], np.dtype[np.uint32]],
) -> Outcomes:
    """Train branches of one run; see `branching.BranchingModule`.

    Each branch is trained from the run's start: at this speed, a state is not worth keeping.
    """
    n = len(order_keys)
    repeated = replace(job, runs=job.runs.take(np.zeros(n, dtype=np.int64)))
    fork = OrderFork(epoch=np.full(n, epoch), order_key=order_keys)
    runs = replace(_neuron_runs(workload, repeated), fork=fork)
    engine = NeuronEngine(runs, job.settings.criterion, block_rows=1)  # nobody reads the rows
    for _ in engine.blocks(n):
        pass
    return engine.outcomes


def _neuron_runs(workload: Workload, job: TrainingJob) -> NeuronRuns:
    if job.device != "cpu":
        raise UsageError(f"the neuron is compiled for the CPU, got device {job.device!r}")
    runs = job.runs
    activations = [ACTIVATIONS.index(name) for name in runs["activation"].to_pylist()]
    optimizers = runs["optimizer"].to_numpy(zero_copy_only=False)
    return NeuronRuns(
        n_hidden=n_hidden(runs["architecture"][0].as_py()),
        activation=np.array(activations),
        params=workload.initial_params(runs, job.root_seed),
        lr=runs["lr"].to_numpy(),
        momentum=runs["momentum"].to_numpy(),
        nesterov=optimizers == "nesterov",
        online=runs["batch_size"].to_numpy() == 1,
        order_key=order_keys(runs, job.root_seed),
    )


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


class NeuronEngine:
    """Trains runs in order and yields their epoch rows in blocks that end at run boundaries.

    Parameters
    ----------
    runs
        What to train.
    criterion
        Thresholds of the convergence criterion.
    block_rows
        Rows after which a block is closed; the block ends with the run that reaches it.
    """

    def __init__(
        self,
        runs: NeuronRuns,
        criterion: Criterion,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        n = runs.lr.size
        fork = runs.fork or OrderFork(
            epoch=np.full(n, criterion.max_epochs), order_key=runs.order_key
        )
        # Copies of one memory layout: Arrow's arrays are read-only, and would be compiled for anew.
        self._runs = (
            runs.activation.astype(np.int64),
            runs.params.astype(np.float64, order="C"),
            runs.lr.astype(np.float64),
            runs.momentum.astype(np.float64),
            runs.nesterov.astype(np.bool_),
            runs.online.astype(np.bool_),
            np.stack([runs.order_key, fork.order_key], axis=1).astype(np.uint32),
            fork.epoch.astype(np.int64),
        )
        self._n_hidden = runs.n_hidden
        self._thresholds = (
            criterion.epsilon,
            criterion.delta,
            criterion.divergence_loss,
            criterion.max_epochs,
        )
        self._block_rows = block_rows
        longest = criterion.max_epochs + 1
        self.buffers = EpochBuffers(block_rows + longest, runs.params.shape[1])
        self.outcomes = Outcomes(
            code=np.full(n, RUNNING, dtype=np.int8),
            epoch=np.zeros(n, dtype=np.int32),
            loss=np.zeros(n),
            grad_norm=np.zeros(n),
        )
        self._next_run = 0
        self._filled = 0

    def blocks(self, chunk_runs: int) -> Iterator[EpochBlock]:
        """Train all runs, ``chunk_runs`` a call; yield blocks that are valid until the next one.

        Where blocks end does not depend on ``chunk_runs``.
        """
        n_params = self.buffers.columns.shape[0] - N_MEASURES
        names = [*EPOCH_MEASURES, *scalar_param_names(n_params)]
        first = 0
        while first < self.outcomes.code.size:
            rows = self._advance(chunk_runs)
            if rows:
                yield EpochBlock(
                    first_run=first,
                    n_runs=self._next_run - first,
                    run=self.buffers.run[:rows] - np.int32(first),
                    epoch=self.buffers.epoch[:rows],
                    columns=dict(zip(names, self.buffers.columns[:, :rows], strict=True)),
                )
                first = self._next_run

    def _advance(self, max_runs: int) -> int:
        """Train up to ``max_runs`` runs; return the rows of a block once one is complete.

        The rows stand in ``self.buffers`` until the next call; 0: the block is not full yet.
        """
        n = self.outcomes.code.size
        last = min(self._next_run + max_runs, n)
        self._next_run, self._filled = train_runs(
            self._next_run,
            last,
            self._filled,
            self._block_rows,
            self._n_hidden,
            self._runs,
            self._thresholds,
            (self.buffers.run, self.buffers.epoch, self.buffers.columns),
            (
                self.outcomes.code,
                self.outcomes.epoch,
                self.outcomes.loss,
                self.outcomes.grad_norm,
            ),
        )
        if self._next_run < n and self._filled < self._block_rows:
            return 0
        rows, self._filled = self._filled, 0
        return rows
