"""How much an epoch changes the predictions on the probe set (seed 000): causal."""

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
        "log_probe_kl": "log(nats)",
        "log_probe_kl_slope": "1/epoch",
        "log_probe_kl_travelled": "log(nats)",
    },
)
def functional_change(probe_kl: FloatArray) -> dict[str, FloatArray]:
    """Mean KL of the predictions to the previous epoch's, its slope, and its sum so far."""
    log_kl = floored_log(probe_kl)
    slope = np.zeros_like(log_kl)
    slope[:, 1:] = trailing_slope(log_kl[:, 1:], _WINDOW)  # epoch 0 has no previous one
    return {
        "log_probe_kl": log_kl,
        "log_probe_kl_slope": slope,
        "log_probe_kl_travelled": floored_log(np.cumsum(probe_kl, axis=1)),
    }
