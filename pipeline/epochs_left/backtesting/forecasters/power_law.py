"""Baseline: the run's own curve goes on as a power law with a floor."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.forecasters import Forecasts, Known, forecaster
from epochs_left.backtesting.forecasters._curves import LATER_HALF, LATER_HALF_SHARE, Curve
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.dynamics.extrapolation import FLOOR_SHARES, power_law_epochs
from epochs_left.dynamics.plateau_forecast import POWER_LAWS, plateau_forecast


def _to_target(loss: FloatArray, target: FloatArray, epoch: FloatArray) -> FloatArray:
    return power_law_epochs(loss, target, epoch, LATER_HALF, floor_shares=FLOOR_SHARES)


def _to_plateau(
    loss: FloatArray, plateau: FloatArray, epoch: FloatArray, horizon: FloatArray
) -> FloatArray:
    found = plateau_forecast(
        loss, plateau, epoch, horizon, share=LATER_HALF_SHARE, bases=POWER_LAWS
    )
    return found.begins - epoch


@forecaster
def power_law(prefixes: Prefixes, known: Known) -> Forecasts:
    """Extrapolate the power law with a floor that fits the later half of a prefix best."""
    del known
    return Curve(to_target=_to_target, to_plateau=_to_plateau).forecasts(prefixes)
