"""How far the parameters have come: causal (seed 000's distance from the start)."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import floored_log, safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View

#: Below it two directions are one to float32.
_LEAST_ANGLE = 1e-14


@feature_group(
    view=View.CAUSAL,
    units={
        "log_l1_from_start": "log(parameter units)",
        "log_l2_from_start": "log(parameter units)",
        "log_chebyshev_from_start": "log(parameter units)",
        "log_cosine_from_start": "log(1)",
        "log_param_norm": "log(parameter units)",
        "straightness": "1",
    },
)
def distance_from_start(
    l1_from_start: FloatArray,
    l2_from_start: FloatArray,
    chebyshev_from_start: FloatArray,
    cosine_from_start: FloatArray,
    param_norm: FloatArray,
    path_length: FloatArray,
) -> dict[str, FloatArray]:
    """Distances from epoch 0, their share of the path travelled, angle turned, and norm."""
    return {
        "log_l1_from_start": floored_log(l1_from_start),
        "log_l2_from_start": floored_log(l2_from_start),
        "log_chebyshev_from_start": floored_log(chebyshev_from_start),
        "log_cosine_from_start": safe_log(np.maximum(cosine_from_start, _LEAST_ANGLE)),
        "log_param_norm": safe_log(param_norm),
        "straightness": np.where(
            path_length > 0, l2_from_start / np.maximum(path_length, 1e-30), 1.0
        ),
    }
