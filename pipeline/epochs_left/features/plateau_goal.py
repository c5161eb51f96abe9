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
        "log_loss_over_plateau": "log(loss ratio)",
        "log_epochs_to_plateau_horizon": "log(epochs)",
    },
)
def plateau_goal(
    epoch: FloatArray, loss: FloatArray, plateau: FloatArray, horizon: FloatArray
) -> dict[str, FloatArray]:
    """Share p of the initial excess, the excess and the late fall in units of p, epochs to come.

    With the best loss so far as the level of the plateau; the late fall is that over the later
    half of the epochs so far, which a curve on its plateau has behind it. The whole loss is in the
    unit of p of the initial one: below it a loss is on its plateau, however close to 0 it goes. A
    plateau is that of the curve up to its horizon, which therefore belongs to the target; a
    threshold has none.
    """
    best = running_minimum(loss)
    width = np.maximum(plateau * (loss[:, :1] - best), 1e-300)
    late = np.maximum(back_by_share(best, 0.5) - best, 0.0)
    return {
        "log_plateau_share": safe_log(plateau),
        "log_excess_over_plateau": np.clip(safe_log((loss - best) / width), -10, 10),
        "log_late_fall_over_plateau": np.clip(safe_log(late / width), -10, 10),
        "log_loss_over_plateau": np.clip(
            safe_log(loss / np.maximum(plateau * loss[:, :1], 1e-300)), -10, 10
        ),
        "log_epochs_to_plateau_horizon": np.where(
            np.isnan(plateau), np.nan, np.log1p(np.maximum(horizon - epoch, 0.0))
        ),
    }
