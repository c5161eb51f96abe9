"""The length of an epoch's update: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import floored_log, trailing_slope
from epochs_left.features import feature_group
from epochs_left.schema import View

_WINDOW = 4  # epochs


@feature_group(
    view=View.CAUSAL,
    units={
        "log_update_norm": "log(parameter units)",
        "log_update_norm_slope": "1/epoch",
    },
)
def update_size(update_norm: FloatArray) -> dict[str, FloatArray]:
    """Length of the last epoch's update in parameters, and its slope."""
    log_update_norm = floored_log(update_norm)
    # Epoch 0 has no update: the slope starts at epoch 1, not at a jump from nothing.
    slope = np.zeros_like(log_update_norm)
    slope[:, 1:] = trailing_slope(log_update_norm[:, 1:], _WINDOW)
    return {
        "log_update_norm": log_update_norm,
        "log_update_norm_slope": slope,
    }
