"""Baseline: a run takes as long as the finished runs of the other lineages of its task."""

from __future__ import annotations

import math

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.forecasters import Forecasts, Known, forecaster
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.prediction.answers import Status


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
    remaining, lower, upper, p_converges = np.array(rows).T
    unknown = Status.INSUFFICIENT_HISTORY.value
    return Forecasts(
        remaining=remaining,
        lower=lower,
        upper=upper,
        p_converges=p_converges,
        status=[unknown if np.isnan(each) else Status.OK.value for each in remaining],
    )


def _of_others(times: FloatArray, cut: float, level: float) -> tuple[float, float, float, float]:
    """Return remaining, lower, upper and p, NaN where the others do not say."""
    later = times[times > cut]
    alike = later if np.isfinite(later).any() else times
    reached = alike[np.isfinite(alike)]
    p_converges = reached.size / alike.size if alike.size else math.nan
    if not reached.size:
        return (math.inf if times.size else math.nan), math.nan, math.nan, p_converges
    left = np.maximum(reached - cut, 0.0)
    lower, upper = math.nan, math.nan
    # n values bound a further one with probability (n - 1) / (n + 1) at most.
    if (reached.size - 1) / (reached.size + 1) >= level:
        tails = [(1 - level) / 2, (1 + level) / 2]
        lower, upper = np.quantile(left, tails, method="weibull").tolist()
    return float(np.median(left)), lower, upper, p_converges
