"""Baseline: the run's own curve goes on as a power law with a floor."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.forecasters import Forecasts, Known, forecaster
from epochs_left.backtesting.forecasters._curves import (
    LATER_HALF,
    LATER_HALF_SHARE,
    Curve,
    plateau_by,
)
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.dynamics.extrapolation import FLOOR_SHARES, power_law_epochs
from epochs_left.dynamics.plateau_forecast import POWER_LAWS


def _to_target(loss: FloatArray, target: FloatArray, epoch: FloatArray) -> FloatArray:
    return power_law_epochs(loss, target, epoch, LATER_HALF, floor_shares=FLOOR_SHARES)


_CURVE = Curve(to_target=_to_target, to_plateau=plateau_by(POWER_LAWS, share=LATER_HALF_SHARE))


@forecaster
def power_law(prefixes: Prefixes, known: Known) -> Forecasts:
    """Extrapolate the power law with a floor that fits the later half of a prefix best."""
    del known
    return _CURVE.forecasts(prefixes)
