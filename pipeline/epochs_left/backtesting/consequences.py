"""What the stops of a policy save and cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray
from epochs_left.backtesting.scores import Bootstrap, estimated
from epochs_left.backtesting.stopping import Field, Stops
from epochs_left.statistics.bootstrap import Estimate, WeightStatistic
from epochs_left.statistics.plain import finite

Entry = dict[str, Any]


def consequences(runs: Field, stops: Stops, among: BoolArray, bootstrap: Bootstrap | None) -> Entry:
    """Return what stopping saves and costs, over the tasks of some of the runs of a field.

    ``epochs_saved`` is a share of the epochs of all runs. ``tasks_lost`` are tasks of which some
    run reaches and none that is kept; over the others ``slowdown`` is the geometric mean of the
    time of the best run kept over that of the best run, and ``extra_epochs`` their mean difference.

    The intervals of these three are over lineages, given the order of the runs: a run that was
    stopped is stopped in every resample that it is in. There is none where all resamples agree:
    that no best run was stopped among a few does not say that none ever will be. Their coverage
    on made-up sweeps in random order (300 draws): of the share saved 74 to 92 % at 6 lineages, 86
    to 93 % at 20, 92 to 94 % at 60; of slowdowns 74 % and more at 6, 83 % at 10, 94 % from 20 on.
    Where names sort the runs by their settings, another order may save more or less than that.

    Parameters
    ----------
    among
        The runs, whole tasks, shape ``(R,)``.
    bootstrap
        How the intervals are drawn; None for none.
    """
    chosen = np.flatnonzero(among)
    stopped, n_right = stops.stopped[chosen], int(stops.right[chosen].sum())
    best_times = _BestTimes.of(runs.task[chosen], runs.time[chosen], stopped)
    found = _estimates(runs, chosen, stopped, best_times, bootstrap)
    best, kept = (times[0] for times in best_times(np.ones((1, chosen.size))))
    return {
        "n_runs": int(chosen.size),
        "n_lineages": int(np.unique(runs.lineage[chosen]).size),
        "n_open": int(runs.open[chosen].sum()),
        "n_stopped": int(stopped.sum()),
        "n_rightly": n_right,
        "n_wrongly": int(stopped.sum()) - n_right,
        "epochs": float(runs.end[chosen].sum()),
        "n_tasks": int(np.isfinite(best).sum()),
        "n_best_stopped": int((kept > best).sum()),
        "n_tasks_lost": int((np.isfinite(best) & np.isinf(kept)).sum()),
        **{name: finite(estimate.value) for name, estimate in found.items()},
        "intervals": {name: _interval_of(estimate) for name, estimate in found.items()},
    }


def _estimates(
    runs: Field,
    chosen: IntArray,
    stopped: BoolArray,
    best_times: _BestTimes,
    bootstrap: Bootstrap | None,
) -> dict[str, Estimate]:
    """Return what is saved, and what is lost by it, of the runs at the positions ``chosen``."""
    end = runs.end[chosen]
    gain = np.where(stopped, end - runs.cut[chosen], 0.0)
    # The best time is that of one run: slowdowns jump as a resample has it or not.
    statistics: list[tuple[str, WeightStatistic, bool]] = [
        ("epochs_saved", lambda weight: (weight @ gain) / (weight @ end), True),
        ("slowdown", best_times.slowdown, False),
        ("extra_epochs", best_times.extra_epochs, False),
    ]
    return {
        name: estimated(statistic, runs.lineage[chosen], bootstrap, smooth=smooth)
        for name, statistic, smooth in statistics
    }


def _interval_of(estimate: Estimate) -> Entry:
    lower, upper = estimate.interval or (None, None)
    return {"lower": lower, "upper": upper} if lower != upper else {"lower": None, "upper": None}


@dataclass(frozen=True, kw_only=True)
class _BestTimes:
    """Best times of each of k tasks, of all n runs and of those kept, by weights of the runs.

    Attributes
    ----------
    order
        Positions of the runs by task, shape ``(n,)``.
    starts
        First run of each task in this order, shape ``(k,)``.
    time, kept
        Epoch at which each run reaches, and the same if it is kept, in this order; infinite where
        it does not.
    """

    order: IntArray
    starts: IntArray
    time: FloatArray
    kept: FloatArray

    @classmethod
    def of(cls, task: IntArray, time: FloatArray, stopped: BoolArray) -> _BestTimes:
        """Sort n runs by task."""
        order = np.argsort(task, kind="stable")
        return cls(
            order=order,
            starts=np.flatnonzero(np.diff(task[order], prepend=-1)),
            time=time[order],
            kept=np.where(stopped, np.inf, time)[order],
        )

    def __call__(self, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the best time, and the best of the runs kept, of runs with weight, ``(b, k)``.

        Parameters
        ----------
        weight
            Shape ``(b, n)``; a run weighs something or nothing, the best of it twice is the same.
        """
        there = weight[:, self.order] > 0
        best, kept = (
            np.minimum.reduceat(np.where(there, times, np.inf), self.starts, axis=-1)
            for times in (self.time, self.kept)
        )
        return best, kept

    def slowdown(self, weight: FloatArray) -> FloatArray:
        """Return the geometric mean, over tasks not lost, of kept over best, shape ``(b,)``."""
        best, kept = (np.log(np.maximum(times, 1.0)) for times in self(weight))
        return np.asarray(np.exp(_mean_excess(best, kept)))

    def extra_epochs(self, weight: FloatArray) -> FloatArray:
        """Return the mean, over tasks not lost, of kept less best, shape ``(b,)``."""
        return _mean_excess(*self(weight))


def _mean_excess(best: FloatArray, kept: FloatArray) -> FloatArray:
    held = np.isfinite(kept)
    excess = np.subtract(kept, best, out=np.zeros(kept.shape), where=held)
    return np.asarray(excess.sum(axis=-1) / held.sum(axis=-1))
