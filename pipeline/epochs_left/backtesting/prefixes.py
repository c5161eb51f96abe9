"""The part of each run up to a budget: all that a forecaster is handed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.backtesting.recorded import Recorded
from epochs_left.prediction.histories import MIN_HISTORY
from epochs_left.prediction.runs import Runs


@dataclass(frozen=True, kw_only=True)
class Prefixes:
    """n runs up to their budgets, with their settings and what is asked of them.

    Attributes
    ----------
    index
        Position of each in the log's runs, shape ``(n,)``.
    runs
        Rows up to the budgets, copied: nothing of what comes later is in reach. The setting
        ``horizon`` is the planned one.
    target, horizon, plateau, task, lineage, label_names
        As in `recorded.Recorded`, of the n runs.
    """

    index: IntArray
    runs: Runs
    target: FloatArray
    horizon: FloatArray
    plateau: float | None
    task: IntArray
    lineage: IntArray
    label_names: Sequence[str]

    @property
    def n_runs(self) -> int:
        """Number of runs n."""
        return int(self.index.size)

    @property
    def cut(self) -> FloatArray:
        """Epoch of the last measured row, shape ``(n,)``."""
        rows = self.runs.rows
        measured = np.where(rows.measured, rows.epoch, -1)
        last = np.maximum.reduceat(measured, self.runs.starts) if self.n_runs else measured
        return last.astype(np.float64)


def prefixes(recorded: Recorded, limit: FloatArray) -> Prefixes:
    """Return the rows with epochs up to ``limit``, of the runs that have two or more measured.

    Parameters
    ----------
    limit
        Time of each run's budget, shape ``(R,)``; NaN where it is not known.
    """
    rows, run_of_row = recorded.runs.rows, recorded.runs.run_of_row
    within = rows.epoch <= limit[run_of_row]
    n_seen = np.bincount(run_of_row[within & rows.measured], minlength=recorded.n_runs)
    index = np.flatnonzero(n_seen >= MIN_HISTORY)
    kept = within & (n_seen >= MIN_HISTORY)[run_of_row]
    taken, lengths = rows.take(kept), np.bincount(run_of_row[kept], minlength=recorded.n_runs)
    lengths = lengths[index]
    if np.isfinite(recorded.horizon).any():
        planned = np.repeat(recorded.horizon[index], lengths)
        taken = replace(taken, numbers={**taken.numbers, "horizon": planned})
    return Prefixes(
        index=index,
        runs=Runs(rows=taken, starts=np.cumsum(lengths) - lengths, lengths=lengths),
        target=recorded.target[index],
        horizon=recorded.horizon[index],
        plateau=recorded.plateau,
        task=recorded.task[index],
        lineage=recorded.lineage[index],
        label_names=recorded.label_names,
    )
