"""Plateaus on fitted curves as features, whatever the clock."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.dynamics.plateau_forecast import DECAYS, POWER_LAWS, plateau_forecast

#: What is fitted, and the share of the epochs so far that is left out: the first epochs of real
#: runs follow no simple curve. On public logs the later half alone is best for power laws.
_FITS = {
    "power_25%": (POWER_LAWS, 0.25),
    "power_50%": (POWER_LAWS, 0.5),
    "decay_50%": (DECAYS, 0.5),
}


def plateau_units(suffix: str) -> dict[str, str]:
    """Return the names and units of what `plateau_features` returns."""
    units = {"log_plateau_epochs": "log(epochs)", "plateau_share": "1", "log_misfit": "log(1)"}
    return {f"{kind}_{fit}{suffix}": unit for fit in _FITS for kind, unit in units.items()}


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

    Parameters
    ----------
    loss, epoch
        Shape ``(R, E)``.
    plateau, horizon
        Shape ``(R, 1)``; NaN where no plateau is asked for, and so are the features there.
    clock, clock_end
        The clock of the curve at each epoch, ``(R, E)``, and at the horizon, ``(R, 1)``.
    epoch_at
        From times on the clock to epochs, both ``(R, E)``.
    suffix
        Of the names.
    """
    asked = np.isfinite(plateau) & np.isfinite(horizon)
    if not asked.any():
        return dict.fromkeys(plateau_units(suffix), np.full(loss.shape, np.nan))
    ahead = np.maximum(horizon - epoch, 1.0)
    features = {}
    for fit, (bases, share) in _FITS.items():
        found = plateau_forecast(loss, plateau, clock, clock_end, share=share, bases=bases)
        left = np.clip(epoch_at(found.begins) - epoch, 0.0, ahead)
        values = {
            "log_plateau_epochs": np.log1p(left),
            "plateau_share": left / ahead,
            "log_misfit": np.clip(safe_log(found.misfit), -10, 10),
        }
        for kind, value in values.items():
            features[f"{kind}_{fit}{suffix}"] = np.where(asked, value, np.nan)
    return features
