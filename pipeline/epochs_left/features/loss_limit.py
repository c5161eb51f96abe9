"""What the loss contracts to: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import (
    aitken_limit,
    epochs_at_slope,
    lagged,
    safe_log,
    trailing_slope,
)
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={
        "log_excess_to_limit": "log(loss ratio)",
        "log_epochs_to_limit": "log(epochs)",
        "excess_slope": "1/epoch",
    },
)
def loss_limit(loss: FloatArray, target: FloatArray) -> dict[str, FloatArray]:
    """Contraction towards the limit that the last losses point at (Aitken).

    A run that heads for a stationary point above the target contracts towards a limit above it;
    the plain slope of log loss cannot tell that from slow progress.
    """
    bounded = np.exp(safe_log(loss) / 2) ** 2
    limit = np.maximum(aitken_limit(bounded), 0.0)
    excess = safe_log(np.maximum(bounded - limit, 0.0))
    slope = trailing_slope(safe_log(np.abs(bounded - lagged(bounded, 1))), 1)
    to_target = safe_log(np.maximum(target - limit, 0.0))
    return {
        "log_excess_to_limit": excess - safe_log(bounded),
        "log_epochs_to_limit": np.log1p(epochs_at_slope(excess - to_target, slope)),
        "excess_slope": slope,
    }
