"""How noisy the loss is: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log, trailing_mean, trailing_slope
from epochs_left.features import feature_group
from epochs_left.schema import View

_NOISE_WINDOW = 16  # epochs


@feature_group(
    view=View.CAUSAL,
    units={"share_of_rises": "1", "slope_noise": "1/epoch"},
)
def loss_noise(loss: FloatArray) -> dict[str, FloatArray]:
    """Share of epochs in which the loss rose, and the spread of its log steps, over 16 epochs."""
    step = trailing_slope(safe_log(loss), 1)
    mean = trailing_mean(step, _NOISE_WINDOW)
    variance = trailing_mean(np.square(step), _NOISE_WINDOW) - np.square(mean)
    return {
        "share_of_rises": trailing_mean((step > 0).astype(np.float64), _NOISE_WINDOW),
        "slope_noise": np.sqrt(np.maximum(variance, 0.0)),
    }
