"""Plateaus on fitted curves as features, whatever the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.dynamics.plateau_forecast import DECAYS, POWER_LAWS, Fit, plateau_forecasts

#: What is fitted, and the shares of the epochs so far that are left out: the first epochs of real
#: runs follow no simple curve. On public logs the later half alone is best for power laws.
_FITS = (Fit(bases=POWER_LAWS, shares=(0.25, 0.5)), Fit(bases=DECAYS, shares=(0.5,)))
#: Names of the fits, in order.
_NAMES = ("power_25%", "power_50%", "decay_50%")


def plateau_units(suffix: str) -> dict[str, str]:
    """Return the names and units of what `plateau_features` returns."""
    units = {"log_plateau_epochs": "log(epochs)", "plateau_share": "1", "log_misfit": "log(1)"}
    return {f"{kind}_{fit}{suffix}": unit for fit in _NAMES for kind, unit in units.items()}


def plateau_features(
    loss: FloatArray,
    plateau: FloatArray,
    epoch: FloatArray,
    horizon: FloatArray,
    *,
    clock: FloatArray,
    clock_end: FloatArray,
    epoch_at: Callable[[FloatArray], FloatArray],
    suffix: str,
) -> dict[str, FloatArray]:
    """Return epochs to the plateau on fitted curves, their share of those to come, and the misfit.

    Nothing is fitted at the columns before the first one at which a plateau is asked for.

    Parameters
    ----------
    loss, epoch
        Shape ``(R, E)``.
    plateau, horizon
        Shape ``(R, 1)`` or ``(R, E)``; NaN where no plateau is asked for, and so are the features
        there.
    clock, clock_end
        The clock of the curve at each epoch, ``(R, E)``, and at the horizon, ``(R, 1)`` or
        ``(R, E)``.
    epoch_at
        From times on the clock to epochs, both ``(F, R, E)`` for F fits, each by itself.
    suffix
        Of the names.
    """
    asked = np.isfinite(plateau) & np.isfinite(horizon)
    if not asked.any():
        return dict.fromkeys(plateau_units(suffix), np.full(loss.shape, np.nan))
    since = int(asked.any(axis=0).argmax())
    late = slice(since, None)
    plateau, horizon, clock_end = (_since(since, v) for v in (plateau, horizon, clock_end))
    fits = plateau_forecasts(loss, plateau, clock, clock_end, _FITS, since=since)
    begins = np.full((len(fits), *loss.shape), np.nan)
    begins[..., late] = [fit.begins for fit in fits]
    ahead = np.maximum(horizon - epoch[:, late], 1.0)
    left = np.clip(epoch_at(begins)[..., late] - epoch[:, late], 0.0, ahead)
    misfit = np.clip(safe_log(np.array([fit.misfit for fit in fits])), -10, 10)
    values = np.full((len(fits), 3, *loss.shape), np.nan)
    for kind, value in enumerate((np.log1p(left), left / ahead, misfit)):
        values[:, kind, :, late] = np.where(_since(since, asked), value, np.nan)
    names = plateau_units(suffix)
    return dict(zip(names, values.reshape(len(names), *loss.shape), strict=True))


def _since(column: int, values: NDArray[Any]) -> NDArray[Any]:
    """Return the columns from one on; a single column stands for all."""
    return values[:, column:] if values.shape[1] > 1 else values
