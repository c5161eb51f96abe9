"""How long finished runs of other lineages took: the one thing known beside a run's own prefix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.backtesting.recorded import Recorded
from epochs_left.backtesting.truth import Truth


@dataclass(frozen=True, kw_only=True)
class Siblings:
    """What became of the runs that are known to have finished, n of them.

    Attributes
    ----------
    run
        Position in the log's runs, ascending, shape ``(n,)``.
    task, lineage
        Codes, shape ``(n,)``.
    time
        Epoch of reaching, shape ``(n,)``; infinite where a run did not reach.
    """

    run: IntArray
    task: IntArray
    lineage: IntArray
    time: FloatArray

    @classmethod
    def of(cls, recorded: Recorded, truth: Truth) -> Siblings:
        """Take the runs whose end is known."""
        time = np.where(truth.reached, truth.time, np.inf)[truth.known]
        return cls(
            run=np.flatnonzero(truth.known),
            task=recorded.task[truth.known],
            lineage=recorded.lineage[truth.known],
            time=time,
        )

    def time_of(self, run: IntArray) -> FloatArray:
        """Return the times of some of the log's runs: infinite if not reached, NaN if not known."""
        known = np.isin(run, self.run)
        time = np.full(run.size, np.nan)
        time[known] = self.time[np.searchsorted(self.run, run[known])]
        return time

    def others(self, task: int, lineage: int) -> FloatArray:
        """Return the times of the task's other lineages, infinite for runs that did not reach."""
        other: BoolArray = (self.task == task) & (self.lineage != lineage)
        return self.time[other]


def task_median(siblings: Siblings, task: IntArray, lineage: IntArray) -> FloatArray:
    """Return the median time of the task's other lineages that reached, NaN if none, ``(R,)``.

    Parameters
    ----------
    task, lineage
        Codes of the runs that are asked about, shape ``(R,)``.
    """
    median: dict[tuple[int, int], float] = {}
    pairs = list(zip(task.tolist(), lineage.tolist(), strict=True))
    for pair in set(pairs):
        times = siblings.others(*pair)
        reached = times[np.isfinite(times)]
        median[pair] = float(np.median(reached)) if reached.size else np.nan
    return np.array([median[pair] for pair in pairs])
