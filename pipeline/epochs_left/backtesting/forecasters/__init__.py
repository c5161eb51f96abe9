"""Forecasters: one file each, found by name; what a finished run's prefix says of its future.

A forecaster is a function from prefixes, and what is known beside them, to forecasts: the bundle
that is tried, and what a user would do without it. It never sees what came after a prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.backtesting.siblings import Siblings
from epochs_left.prediction.answers import Status
from epochs_left.prediction.predictor import Predictor
from epochs_left.registry import Registry

#: The forecasters that are tried: the bundle alone, and with finished runs of the same task. Every
#: other one is a baseline.
MODEL, MODEL_AND_SIBLINGS = TRIED = ("model", "model_and_siblings")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known beside the prefixes.

    Attributes
    ----------
    predictor
        The bundle; its intervals are of the level that is asked for.
    siblings
        Finished runs of the log, of which a forecaster may look at other lineages alone.
    level
        Level of the intervals, in (0, 1).
    """

    predictor: Predictor
    siblings: Siblings
    level: float


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """Forecasts for n runs, in epochs after the last row of their prefixes.

    Attributes
    ----------
    remaining
        Epochs remaining, shape ``(n,)``: infinite for "never", NaN for "not known".
    lower, upper
        Interval; NaN where there is none, and for an upper end that is not finite.
    p_converges
        Probability of reaching what is asked for; NaN where none is given.
    status
        n values of `prediction.answers.Status`.
    """

    remaining: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_converges: FloatArray
    status: Sequence[str]


Forecaster = Callable[[Prefixes, Known], Forecasts]

FORECASTERS: Registry[Forecaster] = Registry("forecaster", __name__)


def forecaster(forecast: Forecaster) -> Forecaster:
    """Register a function under its name."""
    FORECASTERS.add(str(forecast.__name__), forecast)
    return forecast


def forecasts_of(
    remaining: FloatArray, lower: FloatArray, upper: FloatArray, p_converges: FloatArray
) -> Forecasts:
    """Return forecasts whose status follows from ``remaining``, all of shape ``(n,)``."""
    unknown = Status.INSUFFICIENT_HISTORY.value
    return Forecasts(
        remaining=remaining,
        lower=lower,
        upper=upper,
        p_converges=p_converges,
        status=[unknown if np.isnan(each) else Status.OK.value for each in remaining],
    )


def point_forecasts(remaining: FloatArray) -> Forecasts:
    """Return forecasts without interval and probability, shape ``(n,)``."""
    none = np.full(remaining.shape, np.nan)
    return forecasts_of(remaining, none, none, none)
