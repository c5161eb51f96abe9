"""Lockstep engine of the network families: K models a step, in PyTorch, on CPU or CUDA.

Runs of one architecture and batch size share a block of lanes; activations, optimizers and all
hyperparameters are the lane's own. A lane whose run has ended takes the next run; when none is left
the block shrinks, by whole multiples of what the network's kernels round alike for.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace

import numpy as np
import torch

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.criterion import RUNNING, Criterion, outcome_code
from epochs_left.dynamics.schedules import learning_rates
from epochs_left.simulation.engine import EpochBlock, Outcomes, TrainingJob
from epochs_left.simulation.lanes import Fork, LaneRun, Lanes
from epochs_left.simulation.networks import NETWORKS, Examples
from epochs_left.simulation.recording import LaneRows, VectorColumns
from epochs_left.workloads import TaskData, Workload
from epochs_left.workloads._sweep import order_keys

ENGINE_VERSION = "1"

#: Bytes of a block, and so of a Parquet row group: small enough for a reader's memory.
BLOCK_BYTES = 16 << 20

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30

#: Columns of the runs that a lane needs as they stand.
_OF_RUN = (
    "activation",
    "optimizer",
    "momentum",
    "weight_decay",
    "weight_decay_mode",
)


def build_engine(workload: Workload, job: TrainingJob) -> LockstepEngine:
    """Return the engine for planned runs of one task and architecture."""
    return LockstepEngine(workload, job)


def branch_outcomes(
    workload: Workload,
    job: TrainingJob,
    epoch: int,
    order_keys: np.ndarray[tuple[int, int], np.dtype[np.uint32]],
) -> Outcomes:
    """Train branches of one run; see `branching.BranchingModule`.

    The run trains up to its fork once; there its lane is copied, with all of its state.
    """
    (run,) = _lane_runs(workload, job)
    trunk = replace(run, fork=Fork(epoch=epoch, order_keys=order_keys))
    with _prepared_process():
        examples = _on_device(job.data[job.runs["task"][0].as_py()], job.device)
        batch_size = job.runs["batch_size"][0].as_py()
        pool = LanePool(workload, job, examples, [trunk], batch_size, keep_rows=False)
        ended = [branch for some in pool.train() for branch in some]
    ended.sort(key=lambda branch: branch.position)
    return Outcomes(
        code=np.array([branch.code for branch in ended], dtype=np.int8),
        epoch=np.array([branch.epoch for branch in ended], dtype=np.int32),
        loss=np.array([branch.loss for branch in ended]),
        grad_norm=np.array([branch.grad_norm for branch in ended]),
    )


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """A run that has ended: how, and its epoch rows if they were kept."""

    position: int
    code: int
    epoch: int
    loss: float
    grad_norm: float
    columns: dict[str, FloatArray]

    @property
    def n_bytes(self) -> int:
        """Size of the rows."""
        return sum(values.nbytes for values in self.columns.values())


class LockstepEngine:
    """Trains runs of one task and architecture and yields their rows in the order of the runs.

    Parameters
    ----------
    workload
        A network family.
    job
        What to train.
    block_bytes
        Size at which a block is closed; the rows of a run are never split.
    """

    def __init__(
        self, workload: Workload, job: TrainingJob, block_bytes: int = BLOCK_BYTES
    ) -> None:
        n = job.runs.num_rows
        self._workload, self._job, self._block_bytes = workload, job, block_bytes
        self._ended: dict[int, EndedRun] = {}
        self.outcomes = Outcomes(
            code=np.full(n, RUNNING, dtype=np.int8),
            epoch=np.zeros(n, dtype=np.int32),
            loss=np.zeros(n),
            grad_norm=np.zeros(n),
        )

    def blocks(self, chunk_runs: int) -> Iterator[EpochBlock]:
        """Train all runs; yield blocks of whole runs in order.

        ``chunk_runs`` has no meaning here: lanes are filled one by one.
        """
        del chunk_runs
        with _prepared_process():
            yield from self._blocks()

    def _blocks(self) -> Iterator[EpochBlock]:
        first = 0
        for pool in self._pools():
            for ended in pool.train():
                self._note(ended)
                while (block := self._block(first, self._block_bytes)) is not None:
                    yield block
                    first += block.n_runs
        block = self._block(first, 0)
        if block is not None:
            yield block

    def _pools(self) -> Iterator[LanePool]:
        """Yield the runs of each batch size."""
        job = self._job
        examples = _on_device(job.data[job.runs["task"][0].as_py()], job.device)
        runs, sizes = _lane_runs(self._workload, job), job.runs["batch_size"].to_numpy()
        for batch_size in np.unique(sizes).tolist():
            positions = np.flatnonzero(sizes == batch_size)
            yield LanePool(self._workload, job, examples, [runs[i] for i in positions], batch_size)

    def _note(self, ended: Sequence[EndedRun]) -> None:
        for run in ended:
            self._ended[run.position] = run
            self.outcomes.code[run.position] = run.code
            self.outcomes.epoch[run.position] = run.epoch
            self.outcomes.loss[run.position] = run.loss
            self.outcomes.grad_norm[run.position] = run.grad_norm

    def _block(self, first: int, least_bytes: int) -> EpochBlock | None:
        """Return the ended runs from ``first`` on, if they are contiguous and large enough."""
        last, size = first, 0
        while last in self._ended and (size < least_bytes or not least_bytes):
            size += self._ended[last].n_bytes
            last += 1
        members = [self._ended[position] for position in range(first, last)]
        if not members or size < least_bytes:
            return None
        for position in range(first, last):
            del self._ended[position]
        lengths = [member.epoch + 1 for member in members]
        return EpochBlock(
            first_run=first,
            n_runs=len(members),
            run=np.repeat(np.arange(len(members), dtype=np.int32), lengths),
            epoch=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
            columns={
                name: np.concatenate([member.columns[name] for member in members])
                for name in members[0].columns
            },
        )


class LanePool:
    """Runs of one architecture and batch size, trained in a block of lanes.

    Parameters
    ----------
    workload, job
        As for the engine.
    examples
        The task on the device.
    runs
        The runs, in the order in which lanes take them.
    batch_size
        Examples a step.
    keep_rows
        Whether epoch rows are recorded; else it is known only how each run ended.
    """

    def __init__(
        self,
        workload: Workload,
        job: TrainingJob,
        examples: Examples,
        runs: Sequence[LaneRun],
        batch_size: int,
        *,
        keep_rows: bool = True,
    ) -> None:
        architecture = job.runs["architecture"][0].as_py()
        tensors = workload.tensors(architecture)
        network = NETWORKS[workload.name](tensors, architecture, examples)
        self._lane_step = network.lane_step
        lanes = self._rounded_up(min(job.settings.lanes, len(runs)))
        self._vectors = VectorColumns(tensors, examples.inputs.device)
        self._lanes = Lanes(network, examples, self._vectors.n_params, batch_size, lanes)
        criterion = _criterion(job, exact_gradient=self._lanes.full_batch)
        self._limits = astuple(criterion)
        self._measures = workload.measures
        self._rows = (
            LaneRows(self._measures, self._vectors.widths, lanes, criterion.max_epochs)
            if keep_rows
            else None
        )
        self._buffers = list(range(lanes))  # which row buffer each lane writes to
        self._queue = deque(runs)

    def train(self) -> Iterator[list[EndedRun]]:
        """Train all runs; yield those that ended, epoch by epoch."""
        lanes = self._lanes
        self._refill()
        while any(lanes.runs):
            self._fork()
            batch_loss = lanes.begin_epoch()
            measured = lanes.measure(batch_loss if lanes.batch_loss_is_exact else None)
            if self._rows is not None:
                self._record(measured, self._rows)
            lanes.pending[:] = False
            yield self._end(measured)
            # fresh lanes want the row of their initialisation before any lane goes on
            if not self._refill() and any(lanes.runs):
                lanes.finish_epoch()

    def _fork(self) -> None:
        """Replace the runs that have reached their fork by their branches, in equal states."""
        lanes = self._lanes
        running = [
            (slot, run, int(lanes.epochs[slot]))
            for slot, run in enumerate(lanes.runs)
            if run is not None
        ]
        if not any(run.forks_at(epoch) for _, run, epoch in running):
            return
        heirs = [(slot, heir) for slot, run, epoch in running for heir in run.heirs(epoch)]
        slots = [slot for slot, _ in heirs]
        padding = self._rounded_up(len(slots)) - len(slots)
        self._select(slots + slots[:1] * padding)
        lanes.runs = [*(heir for _, heir in heirs), *[None] * padding]
        self._refill()

    def _record(self, measured: dict[str, FloatArray], rows: LaneRows) -> None:
        """Write the rows of the lanes that have reached an epoch."""
        lanes = self._lanes
        tensors = lanes.tensors
        vectors = self._vectors.of(tensors["params"], tensors["start"], tensors["previous"])
        scalars = np.stack([measured[name] for name in self._measures])
        running = np.array([run is not None for run in lanes.runs])
        slots = np.flatnonzero(lanes.pending & running)
        rows.write(
            np.array(self._buffers)[slots],
            lanes.epochs[slots],
            scalars[:, slots],
            {name: values[slots] for name, values in vectors.items()},
        )

    def _end(self, measured: dict[str, FloatArray]) -> list[EndedRun]:
        """Take the runs that have met the criterion out of their lanes."""
        ended = []
        for slot, run in enumerate(self._lanes.runs):
            if run is None:
                continue
            loss, grad_norm = float(measured["loss"][slot]), float(measured["grad_norm"][slot])
            epoch = int(self._lanes.epochs[slot])
            code = outcome_code(loss, grad_norm, epoch, *self._limits)
            if code != RUNNING:
                ended.append(
                    EndedRun(
                        position=run.position,
                        code=code,
                        epoch=epoch,
                        loss=loss,
                        grad_norm=grad_norm,
                        columns=self._rows_of(slot),
                    )
                )
                self._lanes.runs[slot] = None
        return ended

    def _rows_of(self, slot: int) -> dict[str, FloatArray]:
        """Return the rows of the run in a lane, none if they are not kept."""
        if self._rows is None:
            return {}
        return self._rows.take(self._buffers[slot], int(self._lanes.epochs[slot]) + 1)

    def _refill(self) -> bool:
        """Give free lanes to waiting runs, or drop them; return whether any run was loaded."""
        lanes = self._lanes
        free = [slot for slot, run in enumerate(lanes.runs) if run is None]
        loaded = bool(free and self._queue)
        for slot in free[: len(self._queue)]:
            lanes.load(slot, self._queue.popleft())
        keys = lanes.sort_keys()
        running = [slot for slot, run in enumerate(lanes.runs) if run is not None]
        idle = [slot for slot, run in enumerate(lanes.runs) if run is None]
        padding = idle[: self._rounded_up(len(running)) - len(running)]
        kept = sorted(running + padding, key=lambda slot: keys[slot])
        if kept != list(range(len(lanes.runs))):
            self._select(kept)
        lanes.arrange()
        return loaded

    def _select(self, slots: Sequence[int]) -> None:
        """Keep these lanes, in this order."""
        self._lanes.select(slots)
        self._buffers = [self._buffers[slot] for slot in slots]

    def _rounded_up(self, lanes: int) -> int:
        return -(-lanes // self._lane_step) * self._lane_step


@contextmanager
def _prepared_process() -> Iterator[None]:
    """Set what makes small tensors fast."""
    # One process a core: two threads of torch are slower than one for matrices of this size.
    torch.set_num_threads(1)
    # glibc returns large blocks to the system at once, and the next tensor pays for fresh pages:
    # keeping them makes the perceptrons 1.6 times as fast. Elsewhere there is no mallopt.
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    torch.set_flush_denormal(True)  # Adam's second moment decays into denormals, far slower
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # the bytes of a neuron in this thread depend on it


def _lane_runs(workload: Workload, job: TrainingJob) -> list[LaneRun]:
    params = workload.initial_params(job.runs, job.root_seed)
    keys = order_keys(job.runs, job.root_seed)
    rows = job.runs.select(_OF_RUN).to_pylist()
    schedules = job.runs.select(["lr_schedule", "lr", "max_epochs"]).to_pylist()
    lrs = [learning_rates(row["lr_schedule"], row["lr"], row["max_epochs"]) for row in schedules]
    return [
        LaneRun(position=i, params=params[i], order_key=keys[i], lrs=lrs[i], **row)
        for i, row in enumerate(rows)
    ]


def _criterion(job: TrainingJob, *, exact_gradient: bool) -> Criterion:
    """Return the criterion of the job's task; a minibatch gradient says nothing of "stuck"."""
    runs = job.runs
    for name in ("epsilon", "delta", "max_epochs"):
        if len(runs[name].unique()) != 1:
            raise ValueError(f"expected one {name} for all runs of a job, got several")
    return Criterion(
        epsilon=runs["epsilon"][0].as_py(),
        delta=runs["delta"][0].as_py() if exact_gradient else 0.0,
        divergence_loss=job.settings.divergence_loss,
        max_epochs=runs["max_epochs"][0].as_py(),
    )


def _on_device(data: TaskData, device: str) -> Examples:
    def tensor(values: FloatArray | IntArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    return Examples(
        loss=data.loss,
        inputs=tensor(data.inputs),
        targets=tensor(data.targets),
        valid_inputs=tensor(data.valid_inputs),
        valid_targets=tensor(data.valid_targets),
        n_outputs=data.n_outputs,
    )
