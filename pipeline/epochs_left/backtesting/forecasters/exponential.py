"""Baseline: the run's own curve goes on as a geometric decay with a floor."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.forecasters import Forecasts, Known, forecaster
from epochs_left.backtesting.forecasters._curves import LATER_HALF, LATER_HALF_SHARE, Curve
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.dynamics.extrapolation import FLOOR_SHARES, exponential_epochs
from epochs_left.dynamics.plateau_forecast import DECAYS, plateau_forecast


def _to_target(loss: FloatArray, target: FloatArray, epoch: FloatArray) -> FloatArray:
    return exponential_epochs(loss, target, epoch, LATER_HALF, floor_shares=FLOOR_SHARES)


def _to_plateau(
    loss: FloatArray, plateau: FloatArray, epoch: FloatArray, horizon: FloatArray
) -> FloatArray:
    found = plateau_forecast(loss, plateau, epoch, horizon, share=LATER_HALF_SHARE, bases=DECAYS)
    return found.begins - epoch


@forecaster
def exponential(prefixes: Prefixes, known: Known) -> Forecasts:
    """Extrapolate the decay with a floor that fits the later half of a prefix best."""
    del known
    return Curve(to_target=_to_target, to_plateau=_to_plateau).forecasts(prefixes)
