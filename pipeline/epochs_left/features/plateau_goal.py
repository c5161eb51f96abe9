"""The plateau that is asked for, and where the curve stands towards it: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import back_by_share, running_minimum, safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={
        "log_plateau_share": "log(1)",
        "log_excess_over_plateau": "log(loss ratio)",
        "log_late_fall_over_plateau": "log(loss ratio)",
    },
)
def plateau_goal(loss: FloatArray, plateau: FloatArray) -> dict[str, FloatArray]:
    """Share p of the initial excess, and the excess and the late fall in units of p.

    With the best loss so far as the level of the plateau; the late fall is that over the later
    half of the epochs so far, which a curve on its plateau has behind it.
    """
    best = running_minimum(loss)
    width = np.maximum(plateau * (loss[:, :1] - best), 1e-300)
    late = np.maximum(back_by_share(best, 0.5) - best, 0.0)
    return {
        "log_plateau_share": safe_log(plateau),
        "log_excess_over_plateau": np.clip(safe_log((loss - best) / width), -10, 10),
        "log_late_fall_over_plateau": np.clip(safe_log(late / width), -10, 10),
    }
