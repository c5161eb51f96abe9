"""How fast the loss falls, and when it would reach the target at that pace: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import epochs_at_slope, safe_log, trailing_slope
from epochs_left.features import feature_group
from epochs_left.schema import View

_WINDOWS = (1, 4, 16)  # epochs; short, medium and long memory


@feature_group(
    view=View.CAUSAL,
    units={
        **{f"log_loss_slope_{window}": "1/epoch" for window in _WINDOWS},
        **{f"log_epochs_at_slope_{window}": "log(epochs)" for window in _WINDOWS},
        "slope_change": "1/epoch",
    },
)
def loss_slopes(loss: FloatArray, target: FloatArray) -> dict[str, FloatArray]:
    """Slope of log loss over the last 1, 4 and 16 epochs; epochs to the target at that slope.

    The slope over one epoch is the log of the contraction rate of the loss.
    """
    log_loss = safe_log(loss)
    gap = log_loss - safe_log(target)
    slopes = {window: trailing_slope(log_loss, window) for window in _WINDOWS}
    return {
        **{f"log_loss_slope_{window}": slope for window, slope in slopes.items()},
        **{
            f"log_epochs_at_slope_{window}": np.log1p(epochs_at_slope(gap, slope))
            for window, slope in slopes.items()
        },
        "slope_change": slopes[1] - slopes[16],
    }
