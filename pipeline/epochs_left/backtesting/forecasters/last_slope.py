"""Baseline: the run's own curve goes on along the line through its last rows."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.forecasters import Forecasts, Known, forecaster
from epochs_left.backtesting.forecasters._curves import Curve
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.dynamics.curves import lagged
from epochs_left.dynamics.extrapolation import linear_epochs

_WINDOW = 4  # rows


def _to_target(loss: FloatArray, target: FloatArray, epoch: FloatArray) -> FloatArray:
    return linear_epochs(loss, target, epoch, _WINDOW)


def _to_plateau(
    loss: FloatArray, plateau: FloatArray, epoch: FloatArray, horizon: FloatArray
) -> FloatArray:
    """Return the times until the line is within p of its range; 0 where it does not fall.

    The line ends at the horizon, or at 0, which is then its lowest value m.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = (lagged(loss, _WINDOW) - loss) / (epoch - lagged(epoch, _WINDOW))
        lowest = np.maximum(loss - pace * (horizon - epoch), 0.0)
        goal = lowest + plateau * (loss[:, :1] - lowest)
        left = (loss - goal) / pace
    ahead = np.maximum(horizon - epoch, 0.0)
    return np.where(pace > 0, np.clip(left, 0.0, ahead), 0.0)


@forecaster
def last_slope(prefixes: Prefixes, known: Known) -> Forecasts:
    """Extrapolate the line through the last rows of a prefix."""
    del known
    return Curve(to_target=_to_target, to_plateau=_to_plateau).forecasts(prefixes)
