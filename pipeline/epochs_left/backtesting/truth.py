"""What became of finished runs: when each reached what is asked for, or that it did not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.backtesting.recorded import Recorded
from epochs_left.dynamics.targets import plateau_time


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What became of R runs.

    Attributes
    ----------
    time
        Epoch at which each run reached what is asked for, shape ``(R,)``; NaN where it did not.
    known
        Whether it is known that it did or did not: it reached, it lasted its horizon, or it
        diverged.
    diverged_at
        Epoch of the first loss that is NaN or infinite, where nothing was reached before; else
        infinite.
    end
        Last epoch of the log up to the horizon.
    """

    time: FloatArray
    known: BoolArray
    diverged_at: FloatArray
    end: FloatArray

    @property
    def reached(self) -> BoolArray:
        """Whether each run reached it, shape ``(R,)``."""
        return ~np.isnan(self.time)

    def resolved(self, limit: FloatArray) -> BoolArray:
        """Return whether a run had reached it, diverged or ended by ``limit``, shape ``(R,)``."""
        sealed: BoolArray = (self.time <= limit) | (self.diverged_at <= limit)
        return sealed | (self.end <= limit)


def truth(recorded: Recorded) -> Truth:
    """Return what became of each run.

    A target is reached at the first loss at or below it; a plateau begins at
    `dynamics.targets.plateau_time` of the whole curve from the first row to the horizon, in the
    log's own epochs. Rows beyond a horizon do not count. A run lasted its horizon if the next row,
    at the usual distance, would be there or beyond; without a horizon, where its log ends.
    """
    runs, end_of_log = recorded.runs, np.empty(recorded.n_runs)
    time, diverged_at = np.full(recorded.n_runs, np.nan), np.full(recorded.n_runs, np.inf)
    lasted = np.ones(recorded.n_runs, dtype=np.bool_)
    for run, (start, length) in enumerate(zip(runs.starts, runs.lengths, strict=True)):
        rows = slice(start, start + length)
        horizon, epoch = recorded.horizon[run], runs.rows.epoch[rows]
        within = epoch <= (np.inf if np.isnan(horizon) else horizon)
        seen = within & runs.rows.measured[rows]
        epoch_seen, loss = epoch[seen].astype(float), runs.rows.loss[rows][seen]
        end_of_log[run] = epoch[within].max(initial=0)
        lasted[run] = not epoch[-1] + _spacing(epoch_seen) < horizon
        bad = epoch_seen[~np.isfinite(loss)].min(initial=np.inf)
        if recorded.plateau is None:
            time[run] = _reached_at(loss, epoch_seen, recorded.target[run])
        elif lasted[run] and np.isinf(bad):
            time[run] = _plateau_at(loss, epoch_seen, horizon, recorded.plateau)
        time[run] = time[run] if time[run] < bad else np.nan
        diverged_at[run] = bad if np.isnan(time[run]) else np.inf
    known = lasted | ~np.isnan(time) | np.isfinite(diverged_at)
    return Truth(time=time, known=known, diverged_at=diverged_at, end=end_of_log)


def _spacing(epoch: FloatArray) -> float:
    """Return the usual distance of rows; 0 of fewer than two."""
    return float(np.median(np.diff(epoch))) if epoch.size > 1 else 0.0


def _reached_at(loss: FloatArray, epoch: FloatArray, target: float) -> float:
    hit = np.flatnonzero(loss <= target)
    return float(epoch[hit[0]]) if hit.size else np.nan


def _plateau_at(loss: FloatArray, epoch: FloatArray, horizon: float, share: float) -> float:
    time = plateau_time(loss, epoch, horizon, share) if loss.size else None
    return np.nan if time is None else time
