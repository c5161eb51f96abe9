"""The bundle together with finished runs of the same task: what one knows after a few runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.backtesting.forecasters import FORECASTERS, MODEL, Forecasts, Known, forecaster
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.backtesting.siblings import interval_of_next

#: Fewer finished runs of other lineages tell neither how far off the model is nor how alike they
#: are.
MIN_SIBLINGS = 3
#: Smallest spread of logarithms: not even the same settings with another seed take equally long.
_MIN_SPREAD = 0.02
#: Makes a median absolute deviation a standard deviation, of normal numbers.
_MAD_TO_SD = 1.4826


@forecaster
def model_and_siblings(prefixes: Prefixes, known: Known) -> Forecasts:
    """Return the model's answer, moved by its errors on finished runs of the task's other lineages.

    Two logarithms of the time of reaching are averaged, each weighted by its inverse variance among
    those runs: the model's, less its median error on them at the same budget, and the median of
    their times. How far off that is on them makes the interval, where they are enough for its
    level. Runs with fewer than `MIN_SIBLINGS` such runs keep the model's answer.
    """
    said, cut = FORECASTERS[MODEL](prefixes, known), prefixes.cut
    time = known.siblings.time_of(prefixes.index)
    log_time, log_model = (np.log(np.maximum(t, 1.0)) for t in (time, cut + said.remaining))
    usable = np.isfinite(log_time) & np.isfinite(log_model) & (time > cut)
    asked = np.isfinite(said.remaining) & (said.remaining > 0)
    bounds = np.stack([said.remaining, said.lower, said.upper])
    for task, lineage in set(zip(prefixes.task.tolist(), prefixes.lineage.tolist(), strict=True)):
        of_task, of_lineage = prefixes.task == task, prefixes.lineage == lineage
        others, own = usable & of_task & ~of_lineage, asked & of_task & of_lineage
        if others.sum() >= MIN_SIBLINGS:
            blend = _Blend.of(log_time, log_model, others, known.level)
            times = np.exp(blend(log_model[own])) - cut[own]
            bounds[:, own] = np.where(np.isnan(times), bounds[:, own], np.maximum(times, 0.0))
    if prefixes.plateau is not None:  # it begins by the horizon, or there is none
        bounds = np.minimum(bounds, np.maximum(prefixes.horizon - cut, 0.0))
    remaining, lower, upper = bounds
    # An upper end of NaN, for "not finite", stays.
    lower, upper = np.minimum(lower, remaining), np.maximum(upper, remaining)
    return replace(said, remaining=remaining, lower=lower, upper=upper)


@dataclass(frozen=True)
class _Blend:
    """A weighted mean of the model's log time, corrected, and the siblings' median one.

    Attributes
    ----------
    error, median
        Median error of the model on the siblings, and median of their log times.
    weight
        Of the model's.
    offsets
        Of the interval's ends from the forecast; NaN where the siblings support none.
    """

    error: float
    median: float
    weight: float
    offsets: tuple[float, float] = (np.nan, np.nan)

    @classmethod
    def of(
        cls, log_time: FloatArray, log_model: FloatArray, others: BoolArray, level: float
    ) -> _Blend:
        """Learn from the runs of ``others``."""
        times = log_time[others]
        errors = log_model[others] - times
        of_model, of_median = (_spread(values) for values in (errors, times))
        weight = of_median**2 / (of_median**2 + of_model**2)
        blend = cls(float(np.median(errors)), float(np.median(times)), weight)
        residual = times - blend(log_model[others])[0]
        return replace(blend, offsets=interval_of_next(residual, level))

    def __call__(self, log_model: FloatArray) -> FloatArray:
        """Return log times, and the lower and upper end of their intervals, shape ``(3, n)``."""
        found = self.weight * (log_model - self.error) + (1 - self.weight) * self.median
        return np.stack([found, found + self.offsets[0], found + self.offsets[1]])


def _spread(values: FloatArray) -> float:
    deviation = float(np.median(np.abs(values - np.median(values))))
    return max(_MAD_TO_SD * deviation, _MIN_SPREAD)
