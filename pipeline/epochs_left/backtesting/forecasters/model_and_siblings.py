"""The bundle together with finished runs of the same task: what one knows after a few runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.backtesting.forecasters import FORECASTERS, MODEL, Forecasts, Known, forecaster
from epochs_left.backtesting.prefixes import Prefixes

#: Fewer finished runs of other lineages tell neither how far off the model is nor how alike they
#: are.
MIN_SIBLINGS = 3
#: Smallest spread of logarithms: that of one setting with another seed, 4 to 8 %, bounds it anyway.
_MIN_SPREAD = 0.02
#: Makes a median absolute deviation a standard deviation, of normal numbers.
_MAD_TO_SD = 1.4826


@forecaster
def model_and_siblings(prefixes: Prefixes, known: Known) -> Forecasts:
    """Return the model's answer, moved by its errors on finished runs of the task's other lineages.

    Logarithms of two times are averaged, each weighted by its inverse variance among those runs:
    the model's, less its median error at the same budget, and the median time of those runs. Runs
    with too few such siblings keep the model's answer; so do interval and probability.
    """
    said = FORECASTERS[MODEL](prefixes, known)
    cut = prefixes.cut
    log_model = np.log(np.maximum(cut + said.remaining, 1.0))
    log_time = np.log(np.maximum(known.siblings.time_of(prefixes.index), 1.0))
    usable = np.isfinite(log_time) & np.isfinite(log_model) & (np.exp(log_time) > cut)
    log_found = log_model.copy()
    groups = zip(prefixes.task.tolist(), prefixes.lineage.tolist(), strict=True)
    for task, lineage in set(groups):
        others = usable & (prefixes.task == task) & (prefixes.lineage != lineage)
        if others.sum() >= MIN_SIBLINGS:
            own = (prefixes.task == task) & (prefixes.lineage == lineage)
            log_found[own] = _Blend.of(log_time, log_model, others)(log_model[own])
    moved = ~np.isnan(said.remaining) & (said.remaining > 0)
    remaining = np.where(moved, np.maximum(np.exp(log_found) - cut, 0.0), said.remaining)
    return replace(said, remaining=remaining)


@dataclass(frozen=True)
class _Blend:
    """A weighted mean of the model's log time, corrected, and the siblings' median one."""

    error: float
    median: float
    weight: float

    @classmethod
    def of(cls, log_time: FloatArray, log_model: FloatArray, others: BoolArray) -> _Blend:
        """Learn from the runs of ``others``."""
        errors, times = log_model[others] - log_time[others], log_time[others]
        of_model, of_median = (_spread(values) for values in (errors, times))
        weight = of_median**2 / (of_median**2 + of_model**2)
        return cls(float(np.median(errors)), float(np.median(times)), weight)

    def __call__(self, log_model: FloatArray) -> FloatArray:
        """Return log times, shape ``(n,)``."""
        found: FloatArray = self.weight * (log_model - self.error)
        return found + (1 - self.weight) * self.median


def _spread(values: FloatArray) -> float:
    deviation = float(np.median(np.abs(values - np.median(values))))
    return max(_MAD_TO_SD * deviation, _MIN_SPREAD)
