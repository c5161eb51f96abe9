"""Which of the finished runs a policy would have stopped.

The runs of a task come one after another, in the order of their names; each is stopped at its
budget or kept to its end, and what it reached is then known to those that come after it.

The order matters to every policy that compares a run with those before it, and a log does not tell
it: its rows may be sorted by anything, newest run first. The order of finishing would put the fast
runs first, which nobody knows beforehand. A name stays with its run however the rows are sorted;
names that begin with a date, or with a number of as many digits in all, are in the order of
training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.backtesting.policies import Candidate, Claim, Policy
from epochs_left.prediction.runs import Runs

#: Completed runs that a median of losses needs.
MIN_COMPLETED = 3


@dataclass(frozen=True, kw_only=True)
class Field:
    """R runs at one budget, in the order in which they are taken to be trained.

    Attributes
    ----------
    task, lineage
        Codes, shape ``(R,)``.
    end
        Epochs that a run takes when it is kept: to the target, or of its whole log.
    time
        Epoch at which it reaches what is asked for; infinite where it does not.
    open
        Whether it is in progress at its budget.
    cut
        Epoch of the last row seen there; NaN for a run that is not open.
    p_converges
        Predicted probability of reaching; NaN where there is none, which stops nothing.
    earliest
        Lower bound of the time by confidence of the policy, shape ``(R,)`` each.
    runs
        Rows of the runs.
    """

    task: IntArray
    lineage: IntArray
    end: FloatArray
    time: FloatArray
    open: BoolArray
    cut: FloatArray
    p_converges: FloatArray
    earliest: Mapping[float, FloatArray]
    runs: Runs


@dataclass(frozen=True, kw_only=True)
class Stops:
    """What a policy did to R runs.

    Attributes
    ----------
    stopped
        Shape ``(R,)``.
    right
        Whether what the stop said of the run is true; False where it was not stopped.
    """

    stopped: BoolArray
    right: BoolArray


@dataclass
class _Losses:
    """Mean and lowest losses of all runs up to an epoch, kept for the epochs asked for."""

    runs: Runs
    _known: dict[float, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def against(self, run: int, completed: Sequence[int], epoch: float) -> tuple[float, float]:
        """Return a run's lowest loss and the median of the others' means, NaN of too few."""
        mean, lowest = self._up_to(epoch)
        others = mean[list(completed)]
        others = others[~np.isnan(others)]
        usual = float(np.median(others)) if others.size >= MIN_COMPLETED else math.nan
        return float(lowest[run]), usual

    def _up_to(self, epoch: float) -> tuple[FloatArray, FloatArray]:
        """Return the means and minima, shape ``(R,)``; NaN and infinity where there is no row."""
        if epoch not in self._known:
            rows = self.runs.rows
            seen = rows.measured & (rows.epoch <= epoch)
            loss = np.where(np.isfinite(rows.loss), rows.loss, np.inf)
            n_seen = np.add.reduceat(seen, self.runs.starts, dtype=np.int64)
            total = np.add.reduceat(np.where(seen, loss, 0.0), self.runs.starts)
            mean = np.divide(total, n_seen, out=np.full(total.shape, np.nan), where=n_seen > 0)
            lowest = np.minimum.reduceat(np.where(seen, loss, np.inf), self.runs.starts)
            self._known[epoch] = mean, lowest
        return self._known[epoch]


def stop_runs(policies: Sequence[Policy], runs: Field) -> Stops:
    """Return which runs are stopped when the runs of each task are trained one after another.

    Parameters
    ----------
    policies
        A run is stopped that any of them stops.
    """
    stopped, right = np.zeros((2, runs.task.size), dtype=np.bool_)
    losses = _Losses(runs.runs)
    for task in np.unique(runs.task):
        completed: list[int] = []
        best = math.inf
        for run in np.flatnonzero(runs.task == task).tolist():
            fired = _fired(policies, runs, run, best, losses, completed)
            stopped[run] = bool(fired)
            right[run] = any(_is_right(each, float(runs.time[run]), best) for each in fired)
            if not fired:
                completed.append(run)
                best = min(best, float(runs.time[run]))
    return Stops(stopped=stopped, right=right)


def _fired(
    policies: Sequence[Policy],
    runs: Field,
    run: int,
    best: float,
    losses: _Losses,
    completed: Sequence[int],
) -> list[Policy]:
    """Return the policies that stop a run."""
    if not runs.open[run]:
        return []
    lowest, usual = math.nan, math.nan
    if any(policy.spec.reads_losses for policy in policies):
        lowest, usual = losses.against(run, completed, float(runs.cut[run]))
    return [
        policy
        for policy in policies
        if policy.stops(
            Candidate(
                p_converges=float(runs.p_converges[run]),
                earliest=float(runs.earliest.get(policy.confidence, runs.cut)[run]),
                best=best,
                lowest_loss=lowest,
                usual_loss=usual,
            )
        )
    ]


def _is_right(policy: Policy, time: float, best: float) -> bool:
    if policy.spec.claim is Claim.NEVER:
        return math.isinf(time)
    return time > best or math.isinf(time)
