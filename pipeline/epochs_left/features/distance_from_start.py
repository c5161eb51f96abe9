"""How far the parameters have come: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.dynamics.distances import cosine_distance, l2_distance
from epochs_left.features import feature_group
from epochs_left.schema import View

_FLOOR = -18.0  # log of what float32 parameters of order one cannot resolve, and of "none yet"


@feature_group(
    view=View.CAUSAL,
    units={
        "log_distance_from_start": "log(parameter units)",
        "cosine_from_start": "1",
        "log_param_norm": "log(parameter units)",
        "straightness": "1",
    },
)
def distance_from_start(params: FloatArray, path_length: FloatArray) -> dict[str, FloatArray]:
    """Distance from epoch 0, its share of the path travelled, angle turned, and parameter norm."""
    start = params[:, :1, :]
    distance = l2_distance(params, start)
    return {
        "log_distance_from_start": np.maximum(safe_log(distance), _FLOOR),
        "cosine_from_start": cosine_distance(params, start),
        "log_param_norm": safe_log(l2_distance(params, np.zeros_like(start))),
        "straightness": np.where(path_length > 0, distance / np.maximum(path_length, 1e-30), 1.0),
    }
