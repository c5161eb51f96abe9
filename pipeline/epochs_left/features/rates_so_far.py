"""The learning rates so far, and what the loss did since they last changed: causal.

Of plateaus alone: what is learnt of thresholds knows the schedule ahead.
"""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.clock import since_rate_change
from epochs_left.dynamics.curves import back_by_share, floored_log, running_minimum, safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={
        "log_rate_over_highest": "log(1)",
        "log_late_rate_change": "log(1)",
        "log_last_rate_change": "log(1)",
        "log_epochs_since_rate_change": "log(epochs)",
        "log_spent_at_rate": "log(epochs at the present learning rate)",
        "log_loss_since_rate_change": "log(loss ratio)",
        "log_fall_since_rate_change_over_plateau": "log(loss ratio)",
    },
)
def rates_so_far(
    epoch: FloatArray, loss: FloatArray, lr_in_force: FloatArray, plateau: FloatArray
) -> dict[str, FloatArray]:
    """Learning rate in force beside those before, and the fall of the loss since it changed.

    A change is one of more than `clock.RATE_CHANGE` within an epoch; before the first one the run
    counts from its start. The fall is in units of the plateau's width, with the best loss so far as
    its level.
    """
    rate = floored_log(lr_in_force)
    start = since_rate_change(lr_in_force)
    row = np.arange(len(rate))[:, None]
    before = np.maximum(start - 1, 0)
    width = np.maximum(plateau * (loss[:, :1] - running_minimum(loss)), 1e-300)
    spent = np.cumsum(lr_in_force * np.diff(epoch, axis=1, prepend=0.0), axis=1)
    return {
        "log_rate_over_highest": rate - np.maximum.accumulate(np.nan_to_num(rate, nan=-np.inf), 1),
        "log_late_rate_change": rate - back_by_share(rate, 0.5),
        "log_last_rate_change": rate[row, start] - rate[row, before],
        "log_epochs_since_rate_change": np.log1p(epoch - epoch[row, start]),
        "log_spent_at_rate": np.log1p(spent / np.maximum(lr_in_force, 1e-300)),
        "log_loss_since_rate_change": safe_log(loss) - safe_log(loss[row, before]),
        "log_fall_since_rate_change_over_plateau": np.clip(
            safe_log(np.maximum(loss[row, before] - loss, 0.0) / width), -10, 10
        ),
    }
