"""Baseline: the run's own curve goes on as the one that the Optimus scheduler fits."""

from __future__ import annotations

from functools import partial

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.backtesting.forecasters import Forecasts, Known, forecaster
from epochs_left.backtesting.forecasters._curves import Curve, plateau_by
from epochs_left.backtesting.prefixes import Prefixes
from epochs_left.dynamics.extrapolation import FLOOR_SHARES, mean_since, optimus_epochs
from epochs_left.dynamics.plateau_forecast import Basis


def _hyperbola(offset: float, clock: FloatArray) -> FloatArray:
    return np.asarray(1 / (clock + offset))


def _clock_of_hyperbola(offset: float, value: FloatArray) -> FloatArray:
    return np.asarray(1 / value - offset)


#: 1 / (b0 t + b1) + b2 up to a factor and b2, with b1 / b0 from a grid.
_HYPERBOLAS = tuple(
    Basis(at=partial(_hyperbola, offset), inverse=partial(_clock_of_hyperbola, offset))
    for offset in (0.5, 1.0, 2.0, 5.0, 12.0, 30.0, 80.0, 200.0)
)


def _to_target(loss: FloatArray, target: FloatArray, epoch: FloatArray) -> FloatArray:
    whole = partial(mean_since, share=0.0)
    return optimus_epochs(loss, target, epoch, whole, floor_shares=FLOOR_SHARES)


_CURVE = Curve(to_target=_to_target, to_plateau=plateau_by(_HYPERBOLAS, share=0.0))


@forecaster
def optimus(prefixes: Prefixes, known: Known) -> Forecasts:
    """Extrapolate 1 / (b0 t + b1) + b2 fitted to the whole prefix.

    Peng et al. 2018, "Optimus" (EuroSys), equation 1.
    """
    del known
    return _CURVE.forecasts(prefixes)
