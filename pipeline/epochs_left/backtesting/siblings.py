"""How long finished runs of other lineages took: the one thing known beside a run's own prefix."""

from __future__ import annotations

import math
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


def interval_of_next(values: FloatArray, level: float) -> tuple[float, float]:
    """Return the central interval of one more value, from n values exchangeable with it.

    It is as likely to take any of n + 1 ranks, so the k-th smallest of the n bounds it from above
    with probability k / (n + 1): Weibull's positions of quantiles (definition 6 of Hyndman & Fan
    1996, Am. Stat. 50), between which they are interpolated.

    Parameters
    ----------
    values
        Shape ``(n,)``, any unit.
    level
        Probability of the interval, in (0, 1).

    Returns
    -------
    Lower and upper end; NaN where the smallest and the largest value hold the next one with a
    probability, (n - 1) / (n + 1), below the level.
    """
    if (values.size - 1) / (values.size + 1) < level:
        return math.nan, math.nan
    tails = [(1 - level) / 2, (1 + level) / 2]
    lower, upper = np.quantile(values, tails, method="weibull").tolist()
    return lower, upper
