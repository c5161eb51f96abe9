"""What each run has shown by each row: how much, whether it is over, and which rows to answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, IntArray
from epochs_left.prediction.runs import Runs

#: Epochs with a loss that a prediction needs: one shows a level, two show a slope.
MIN_HISTORY = 2
LAST = "last"
#: Rows to answer: None for all, ``LAST``, or an absolute epoch.
At = int | str | None


@dataclass(frozen=True, kw_only=True)
class Histories:
    """State of every run at each of its n rows, from the rows up to it alone.

    Parameters
    ----------
    runs
        The runs.
    seen
        Epochs with a loss so far, this one included, shape ``(n,)``.
    reached
        The loss has reached the target, at this epoch or before.
    diverged
        The loss was NaN or infinite, at this epoch or before, and had not reached the target.
    """

    runs: Runs
    seen: IntArray
    reached: BoolArray
    diverged: BoolArray

    @property
    def predictable(self) -> BoolArray:
        """Rows that get a prediction, shape ``(n,)``."""
        enough = self.runs.rows.measured & (self.seen >= MIN_HISTORY)
        return enough & ~self.reached & ~self.diverged

    @property
    def usable(self) -> BoolArray:
        """Rows that predictions may look at, shape ``(n,)``."""
        return self.runs.rows.measured & ~self.reached & ~self.diverged


def histories(runs: Runs, target: float) -> Histories:
    """Return the histories of ``runs`` with respect to a loss ``target``."""
    rows = runs.rows
    finite = np.isfinite(rows.loss)
    first_bad = runs.first(rows.measured & ~finite)
    first_hit = runs.first(finite & (rows.loss <= target))
    return Histories(
        runs=runs,
        seen=runs.count(rows.measured),
        reached=runs.since(first_hit) & np.repeat(first_hit < first_bad, runs.lengths),
        diverged=runs.since(first_bad) & np.repeat(first_bad < first_hit, runs.lengths),
    )


def rows_to_answer(runs: Runs, at: At) -> IntArray:
    """Return the positions of the rows to answer, in order; -1 for a run that has none.

    Parameters
    ----------
    at
        None: every row. ``LAST``: each run's last row with a loss (its last row if it has none).
        A number N: each run's last row with a loss at an epoch up to N, -1 if there is none.
    """
    n = len(runs.rows)
    if at is None:
        return np.arange(n)
    eligible = runs.rows.measured
    if at != LAST:
        eligible = eligible & (runs.rows.epoch <= int(at))
    last = np.maximum.reduceat(np.where(eligible, np.arange(n), -1), runs.starts)
    fallback = runs.starts + runs.lengths - 1 if at == LAST else -1
    return np.where(last >= 0, last, fallback)
