"""The schedule ahead, known where it is planned: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.clock import rate_in_force, time_on_clock
from epochs_left.dynamics.curves import floored_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={
        "log_lr_now": "log(1)",
        "log_clock": "log(epochs at the base learning rate)",
        "log_clock_ahead": "log(epochs at the base learning rate)",
        "log_epochs_to_horizon": "log(epochs)",
    },
)
def schedule_ahead(
    epoch: FloatArray, lr: FloatArray, planned_lr: FloatArray, horizon: FloatArray
) -> dict[str, FloatArray]:
    """Learning rate in force, how much of it was spent, how much is planned until the horizon.

    Learning rates are in units of the base one, so that the clock ticks in epochs.
    """
    relative = planned_lr / lr
    clock = time_on_clock(relative, epoch)
    ahead = np.maximum(time_on_clock(relative, horizon) - clock, 0.0)
    return {
        "log_lr_now": floored_log(rate_in_force(relative, epoch)),
        "log_clock": np.log1p(clock),
        "log_clock_ahead": np.log1p(ahead),
        "log_epochs_to_horizon": np.log1p(np.maximum(horizon - epoch, 0.0)),
    }
