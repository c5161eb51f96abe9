"""Baseline: a run takes as long as the finished runs of the other lineages of its task."""

from __future__ import annotations

import math

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.forecasters import Forecasts, Known, forecaster, forecasts_of
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.backtesting.siblings import interval_of_next


@forecaster
def task_median(prefixes: Prefixes, known: Known) -> Forecasts:
    """Return the median time of the others that reached, and the share of them that did.

    Of the others that had not reached at the same epoch; where there is none, of them all. The
    interval is that of their quantiles, where they are enough to have such.
    """
    pairs = zip(prefixes.task.tolist(), prefixes.lineage.tolist(), prefixes.cut, strict=True)
    others: dict[tuple[int, int], FloatArray] = {}
    rows = []
    for task, lineage, cut in pairs:
        if (task, lineage) not in others:
            others[task, lineage] = known.siblings.others(task, lineage)
        rows.append(_of_others(others[task, lineage], float(cut), known.level))
    return forecasts_of(*np.array(rows).T)


def _of_others(times: FloatArray, cut: float, level: float) -> tuple[float, float, float, float]:
    """Return remaining, lower, upper and p, NaN where the others do not say."""
    later = times[times > cut]
    alike = later if np.isfinite(later).any() else times
    reached = alike[np.isfinite(alike)]
    p_converges = reached.size / alike.size if alike.size else math.nan
    if not reached.size:
        return (math.inf if times.size else math.nan), math.nan, math.nan, p_converges
    left = np.maximum(reached - cut, 0.0)
    return float(np.median(left)), *interval_of_next(left, level), p_converges
