"""Branches: a run is continued again and again from one of its states, with other sample orders.

How the continuations differ is what no prediction from that state can know (`statistics.ceiling`).
A branch has the run's complete state at epoch t: parameters, moments of the optimizer, steps taken,
running statistics; its passes after t shuffle the examples with a key of its own. Learning rates
follow the schedule of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochs_left.arrays import IntArray
from epochs_left.errors import UsageError
from epochs_left.parallel import Progress, no_progress, parallel_map
from epochs_left.schema import OUTCOMES, Outcome
from epochs_left.seeding import Purpose, generator, key_of, seed_sequence
from epochs_left.simulation.engine import EngineModule, Outcomes, TrainingJob, engine_module
from epochs_left.simulation.planning import task_data
from epochs_left.workloads import WORKLOADS, Workload

OrderKeys = np.ndarray[tuple[int, int], np.dtype[np.uint32]]

#: A row a branch: the state (run, epoch t), the branch's number, and how and when it ended.
BRANCHES = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("branch", pa.int32(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("outcome_epoch", pa.int32(), nullable=False),
    ]
)


class BranchingModule(EngineModule, Protocol):
    """An engine module that can continue a run from one of its states."""

    def branch_outcomes(
        self, workload: Workload, job: TrainingJob, epoch: int, order_keys: OrderKeys
    ) -> Outcomes:
        """Train K branches of one run and say how each ended.

        Parameters
        ----------
        job
            A job of a single run that is still going on at ``epoch``.
        epoch
            Epoch t at which the branches leave the run.
        order_keys
            Key of the sample orders of each branch from t on, shape ``(K, 2)``. With the run's own
            key a branch is the run itself, bit for bit.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class States:
    """States of finished runs, each before its run's end (ValueError).

    Attributes
    ----------
    runs
        The runs (`schema.RUNS`), a row a state; a run may come more than once.
    epochs
        Epoch t of each state, shape ``(n_states,)``.
    """

    runs: pa.Table
    epochs: IntArray

    def __post_init__(self) -> None:
        ends = self.runs["outcome_epoch"].to_numpy()
        outside = np.flatnonzero((self.epochs < 0) | (self.epochs >= ends))
        if outside.size:
            end, epoch = int(ends[outside[0]]), int(self.epochs[outside[0]])
            raise ValueError(f"expected epochs in [0, {end}), before the run's end, got {epoch}")


@dataclass(frozen=True, kw_only=True)
class _BranchTask:
    """A state to branch."""

    number: int
    family: str
    job: TrainingJob
    epoch: int
    n_branches: int


def sample_states(runs: pa.Table, n_states: int, root_seed: int) -> States:
    """Draw states (run, epoch) of converged runs in minibatches, no two of one lineage.

    The run is the first of its lineage in a random order of all runs, so that a run's chance hardly
    depends on the size of its lineage: lineages are drawn without replacement with weights in
    proportion to their runs (Efraimidis and Spirakis 2006, Inf. Proc. Letters 97). The epoch is
    uniform on 0, ..., T - 1. What is drawn for a run depends on its id alone: more runs replace few
    states.

    In full batch nothing is random: such runs are not drawn, their variance is known to be 0.

    Parameters
    ----------
    runs
        Finished runs (`schema.RUNS`), those of the locked test set left out.
    n_states
        States wanted; fewer are returned if there are fewer lineages.
    root_seed
        Seed that all randomness derives from.
    """
    eligible = runs.filter(_has_random_end(runs))
    rngs = [
        generator(root_seed, key_of(run_id), Purpose.STATE_SAMPLE)
        for run_id in eligible["run_id"].to_pylist()
    ]
    order = np.argsort([rng.random() for rng in rngs], kind="stable")
    lineages = np.array(eligible["lineage_id"].to_pylist(), dtype=str)[order]
    firsts = np.sort(np.unique(lineages, return_index=True)[1])
    drawn = order[firsts[:n_states]]
    ends = eligible["outcome_epoch"].to_numpy()
    epochs = np.array([rngs[i].integers(ends[i]) for i in drawn], dtype=np.int32)
    return States(runs=eligible.take(drawn), epochs=epochs)


def branch_runs(
    family: str,
    settings: Any,
    root_seed: int,
    states: States,
    n_branches: int,
    *,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = no_progress,
) -> pa.Table:
    """Continue runs ``n_branches`` times from each state, each time with other sample orders.

    A branch's orders depend on (root seed, run, epoch, branch) alone: more branches or states never
    change others, and nothing depends on ``jobs``. Full-batch runs have no order, so their branches
    are the run itself; they are not trained.

    Parameters
    ----------
    family, settings, root_seed
        As the runs were simulated.
    states
        Where to branch.
    n_branches
        Branches of each state, K.
    device
        Where networks train.
    jobs
        Worker processes; a state is the unit of work.

    Returns
    -------
    A table of schema `BRANCHES`, ``n_branches`` rows a state, states in the order given.

    Raises
    ------
    UsageError
        If the family's engine knows no branches.
    """
    _branching_module(family)
    data = task_data(family, settings, root_seed)
    tasks = [
        _BranchTask(
            number=number,
            family=family,
            job=TrainingJob(
                runs=(run := states.runs.slice(number, 1)),
                settings=settings,
                root_seed=root_seed,
                data={task: data[task] for task in set(run["task"].to_pylist()) & set(data)},
                device=device,
            ),
            epoch=epoch,
            n_branches=n_branches,
        )
        for number, epoch in enumerate(states.epochs.tolist())
    ]
    done = progress(parallel_map(_branch_state, tasks, jobs), len(tasks), f"branch {family}")
    parts = [part for _, part in sorted(done, key=lambda numbered: numbered[0])]
    return pa.concat_tables([BRANCHES.empty_table(), *parts]).combine_chunks()


def branch_keys(run_id: str, epoch: int, n_branches: int, root_seed: int) -> OrderKeys:
    """Return the key of the sample orders of each branch of a state, shape ``(n_branches, 2)``."""
    seed = seed_sequence(root_seed, key_of(run_id), Purpose.BRANCH, epoch)
    return np.array(seed.generate_state(2 * n_branches), dtype=np.uint32).reshape(n_branches, 2)


def _has_random_end(runs: pa.Table) -> pa.ChunkedArray:
    """Say of each run whether it converged in training, at an epoch that depends on the orders."""
    minibatches = pc.less(runs["batch_size"], runs["n_examples"])
    converged = pc.equal(runs["outcome"], Outcome.CONVERGED.value)
    return pc.and_(pc.and_(minibatches, converged), pc.greater(runs["outcome_epoch"], 0))


def _branching_module(family: str) -> BranchingModule:
    name = WORKLOADS[family].engine
    module = engine_module(name)
    if not hasattr(module, "branch_outcomes"):
        raise UsageError(f"runs of {family} cannot be branched: engine {name} has no sample orders")
    return cast("BranchingModule", module)


def _branch_state(task: _BranchTask) -> tuple[int, pa.Table]:
    """Return the rows of one state, with its number."""
    n = task.n_branches
    run = task.job.runs.to_pylist()[0]
    if run["batch_size"] == run["n_examples"]:
        ends = [run["outcome"]] * n, [run["outcome_epoch"]] * n
    else:
        keys = branch_keys(run["run_id"], task.epoch, n, task.job.root_seed)
        module, workload = _branching_module(task.family), WORKLOADS[task.family]
        outcomes = module.branch_outcomes(workload, task.job, task.epoch, keys)
        ends = [OUTCOMES[code].value for code in outcomes.code], outcomes.epoch.tolist()
    columns = [[run["run_id"]] * n, [task.epoch] * n, list(range(n)), *ends]
    return task.number, pa.table(dict(zip(BRANCHES.names, columns, strict=True)), schema=BRANCHES)
