"""Velocity, acceleration and curvature of the path (seed 003 section 7.1): causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import floored_log, trailing_mean
from epochs_left.features import feature_group
from epochs_left.schema import View

_WINDOW = 8  # epochs


@feature_group(
    view=View.CAUSAL,
    units={
        "log_acceleration": "log(parameter units)",
        "turning_cosine": "1",
        "mean_turning_cosine": "1",
        "path_curvature": "1",
        "outward_cosine": "1",
        "relative_step": "log(1)",
    },
)
def motion(
    update_norm: FloatArray,
    acceleration: FloatArray,
    turning_cosine: FloatArray,
    outward_cosine: FloatArray,
    param_norm: FloatArray,
) -> dict[str, FloatArray]:
    """Length and angle of the change of the update, its bend an epoch, and the way it points.

    The curvature is |u_t - u_{t-1}| / |u_t|, the bend of the path per step in units of the step.
    """
    return {
        "log_acceleration": floored_log(acceleration),
        "turning_cosine": turning_cosine,
        "mean_turning_cosine": trailing_mean(turning_cosine, _WINDOW),
        "path_curvature": np.minimum(acceleration / np.maximum(update_norm, 1e-30), 10.0),
        "outward_cosine": outward_cosine,
        "relative_step": floored_log(update_norm / np.maximum(param_norm, 1e-30)),
    }
