"""How long the way to the final parameters takes at some speed: oracle."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import EPOCH_LIMIT, floored_log
from epochs_left.features import feature_group
from epochs_left.schema import View

_LEAST_COSINE = 0.05  # a path that turns more than this makes no headway to speak of
_LOG_LIMIT = np.log1p(EPOCH_LIMIT)


@feature_group(
    view=View.ORACLE,
    units={
        "log_epochs_at_speed": "log(epochs)",
        "log_epochs_at_headway": "log(epochs)",
        "log_epochs_at_gradient_step": "log(epochs)",
    },
)
def oracle_speed(
    l2_to_final: FloatArray,
    homing_cosine: FloatArray,
    update_norm: FloatArray,
    grad_norm: FloatArray,
    lr: FloatArray,
    momentum: FloatArray,
    batch_size: FloatArray,
    n_examples: FloatArray,
) -> dict[str, FloatArray]:
    """Distance to the end over the last update, over its headway, and over a gradient's descent.

    A step along the gradient is lr |grad| / (1 - momentum) long.
    """
    log_distance = floored_log(l2_to_final)
    log_steps = np.log(n_examples / batch_size)
    log_rate = np.log(lr / np.maximum(1 - momentum, 1e-6)) + log_steps
    headway = update_norm * np.maximum(homing_cosine, _LEAST_COSINE)
    paces = {
        "log_epochs_at_speed": floored_log(update_norm),
        "log_epochs_at_headway": floored_log(headway),
        "log_epochs_at_gradient_step": log_rate + floored_log(grad_norm),
    }
    return {
        name: np.logaddexp(0.0, np.clip(log_distance - pace, -_LOG_LIMIT, _LOG_LIMIT))
        for name, pace in paces.items()
    }
