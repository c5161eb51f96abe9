"""Every forecaster at every budget, as arrays over the runs of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.backtesting.forecasters import Forecaster, Forecasts, Known, point_forecasts
from epochs_left.backtesting.prefixes import prefixes
from epochs_left.backtesting.recorded import Recorded
from epochs_left.backtesting.siblings import Siblings, task_median
from epochs_left.backtesting.truth import Truth
from epochs_left.prediction.answers import Status

#: Without a planned horizon a forecast counts as at most this many budget horizons: a curve that
#: says "never" of a run that got there is wrong, but not infinitely so.
LATEST = 10.0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What one forecaster says of R runs at one budget; NaN where it says nothing.

    Attributes
    ----------
    time
        Epoch at which the run reaches what is asked for, shape ``(R,)``, at most the latest that
        is possible.
    remaining, lower, upper, p_converges, status
        As the forecaster said it (`forecasters.Forecasts`), for R runs.
    """

    time: FloatArray
    remaining: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_converges: FloatArray
    status: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One budget.

    Attributes
    ----------
    budget
        Percent of the horizon.
    limit
        Time of the budget, shape ``(R,)``; NaN where the horizon is not known.
    cut
        Epoch of the last row of each prefix; NaN where a run has none of two rows.
    latest
        Latest time that a forecast may say.
    forecasts
        By the name of the forecaster.
    """

    budget: float
    limit: FloatArray
    cut: FloatArray
    latest: FloatArray
    forecasts: Mapping[str, Forecast]


def budget_horizon(
    recorded: Recorded, truth: Truth, *, of_task_median: bool
) -> tuple[FloatArray, Siblings]:
    """Return what budgets are percents of, shape ``(R,)``, and the finished runs of the log.

    Parameters
    ----------
    of_task_median
        Whether it is the median time of the other lineages; else the planned horizon.
    """
    siblings = Siblings.of(recorded, truth)
    if of_task_median:
        return task_median(siblings, recorded.task, recorded.lineage), siblings
    return recorded.horizon, siblings


def replay(
    recorded: Recorded,
    horizon: FloatArray,
    budget: float,
    known: Known,
    forecasters: Sequence[tuple[str, Forecaster]],
) -> Replay:
    """Return what the forecasters say at a budget.

    Parameters
    ----------
    horizon
        What the budget is a percent of, shape ``(R,)``; NaN where it is not known.
    budget
        Percent, in (0, 100).
    """
    limit = horizon * budget / 100
    pre = prefixes(recorded, limit)
    cut = np.full(recorded.n_runs, np.nan)
    cut[pre.index] = pre.cut
    planned = recorded.horizon
    latest = np.where(np.isnan(planned), LATEST * horizon, planned)
    said = {
        name: forecast(pre, known) if pre.n_runs else point_forecasts(np.empty(0))
        for name, forecast in forecasters
    }
    return Replay(
        budget=budget,
        limit=limit,
        cut=cut,
        latest=latest,
        forecasts={name: _spread(found, pre.index, cut, latest) for name, found in said.items()},
    )


def _spread(found: Forecasts, index: np.ndarray, cut: FloatArray, latest: FloatArray) -> Forecast:
    """Return forecasts of some runs as those of all."""

    def of_all(values: FloatArray) -> FloatArray:
        spread = np.full(cut.shape, np.nan)
        spread[index] = values
        return spread

    remaining = of_all(found.remaining)
    status = [Status.INSUFFICIENT_HISTORY.value] * cut.size
    for position, value in zip(index.tolist(), found.status, strict=True):
        status[position] = value
    return Forecast(
        time=np.minimum(cut + remaining, np.maximum(latest, cut)),
        remaining=remaining,
        lower=of_all(found.lower),
        upper=of_all(found.upper),
        p_converges=of_all(found.p_converges),
        status=status,
    )


def unresolved(truth: Truth, replayed: Replay) -> BoolArray:
    """Return the runs whose fate is known now and was open at the budget, shape ``(R,)``.

    So are those without a horizon, for which there is no budget and no forecast.
    """
    open_then: BoolArray = truth.known & ~truth.resolved(np.nan_to_num(replayed.limit))
    return open_then
