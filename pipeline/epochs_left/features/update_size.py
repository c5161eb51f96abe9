"""The length of an epoch's update: causal."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log, trailing_slope
from epochs_left.features import feature_group
from epochs_left.schema import View

_WINDOW = 4  # epochs


@feature_group(
    view=View.CAUSAL,
    units={
        "log_update_norm": "log(parameter units)",
        "log_update_norm_slope": "1/epoch",
        "log_probe_kl": "log(nat)",
    },
)
def update_size(update_norm: FloatArray, probe_kl: FloatArray) -> dict[str, FloatArray]:
    """Length of the last epoch's update in parameters, its slope, and in function space."""
    log_update_norm = safe_log(update_norm)
    return {
        "log_update_norm": log_update_norm,
        "log_update_norm_slope": trailing_slope(log_update_norm, _WINDOW),
        "log_probe_kl": safe_log(probe_kl),
    }
