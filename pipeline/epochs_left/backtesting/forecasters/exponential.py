"""Baseline: the run's own curve goes on as a geometric decay with a floor."""

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
from epochs_left.dynamics.extrapolation import FLOOR_SHARES, exponential_epochs
from epochs_left.dynamics.plateau_forecast import DECAYS


def _to_target(loss: FloatArray, target: FloatArray, epoch: FloatArray) -> FloatArray:
    return exponential_epochs(loss, target, epoch, LATER_HALF, floor_shares=FLOOR_SHARES)


_CURVE = Curve(to_target=_to_target, to_plateau=plateau_by(DECAYS, share=LATER_HALF_SHARE))


@forecaster
def exponential(prefixes: Prefixes, known: Known) -> Forecasts:
    """Extrapolate the decay with a floor that fits the later half of a prefix best."""
    del known
    return _CURVE.forecasts(prefixes)
