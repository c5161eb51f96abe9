"""What each run has shown by each row: how much, whether it is over, and which rows to answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.dynamics.targets import plateau_time
from epochs_left.prediction.aims import Aim
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
        The goal is reached, at this epoch or before.
    diverged
        The loss was NaN or infinite, at this epoch or before, and had not reached the goal.
    ended
        The horizon of a plateau is over and there was none.
    aimless
        A plateau is asked for and the horizon that it needs is not known.
    """

    runs: Runs
    seen: IntArray
    reached: BoolArray
    diverged: BoolArray
    ended: BoolArray
    aimless: BoolArray

    @property
    def predictable(self) -> BoolArray:
        """Rows that get a prediction, shape ``(n,)``."""
        return self.usable & (self.seen >= MIN_HISTORY) & ~self.aimless

    @property
    def usable(self) -> BoolArray:
        """Rows that predictions may look at, shape ``(n,)``."""
        return self.runs.rows.measured & ~self.reached & ~self.diverged & ~self.ended


def histories(runs: Runs, aim: Aim) -> Histories:
    """Return the histories of ``runs`` with respect to a goal.

    A loss is reached at the first row at or below it, for good. Whether a plateau has begun depends
    on the lowest loss up to the horizon, so that before it nobody knows; from the horizon on the
    whole curve is known, and with it whether there was one.
    """
    rows = runs.rows
    finite = np.isfinite(rows.loss)
    first_bad = runs.first(rows.measured & ~finite)
    horizon = horizons(runs, aim)
    over = np.full(runs.lengths.size, len(rows))
    if aim.target is None:
        over = runs.first(rows.epoch >= np.repeat(horizon, runs.lengths))
        there = np.array(
            [
                row < bad and _has_plateau(runs, run, horizon[run], aim)
                for run, (row, bad) in enumerate(zip(over, first_bad, strict=True))
            ]
        )
        first_hit = np.where(there, over, len(rows))
    else:
        first_hit = runs.first(finite & (rows.loss <= aim.target))
    hit, bad = first_hit < first_bad, (first_bad < first_hit) & (first_bad <= over)
    return Histories(
        runs=runs,
        seen=runs.count(rows.measured),
        reached=runs.since(first_hit) & np.repeat(hit, runs.lengths),
        diverged=runs.since(first_bad) & np.repeat(bad, runs.lengths),
        ended=runs.since(over) & np.repeat(over < np.minimum(first_hit, first_bad), runs.lengths),
        aimless=np.repeat(np.isnan(horizon) & (aim.target is None), runs.lengths),
    )


def horizons(runs: Runs, aim: Aim) -> FloatArray:
    """Return the epochs that each run is meant to last, NaN where nobody says, shape ``(R,)``."""
    stated = runs.rows.numbers.get("horizon", np.full(len(runs.rows), np.nan))[runs.starts]
    return np.where(np.isnan(stated), np.nan if aim.horizon is None else aim.horizon, stated)


def _has_plateau(runs: Runs, run: int, horizon: float, aim: Aim) -> bool:
    """Tell whether a run that has lasted its horizon came to its plateau in time."""
    assert aim.plateau is not None
    start = runs.starts[run]
    rows = runs.rows.take(slice(start, start + runs.lengths[run]))
    seen = rows.take(rows.measured & (rows.epoch <= horizon))
    epoch = seen.epoch.astype(np.float64)
    return len(seen) > 0 and plateau_time(seen.loss, epoch, horizon, aim.plateau) is not None


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
