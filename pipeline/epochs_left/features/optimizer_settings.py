"""Optimizer of the run, known before it starts: causal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View

_OPTIMIZERS = ("nesterov", "rmsprop", "adam", "adamw")


@feature_group(
    view=View.CAUSAL,
    units={
        "momentum": "1",
        "log_momentum_lr": "log(parameter units^2 / loss)",
        **dict.fromkeys(_OPTIMIZERS, "0 or 1"),
    },
)
def optimizer_settings(
    lr: FloatArray, momentum: FloatArray, optimizer: NDArray[Any]
) -> dict[str, FloatArray]:
    """Momentum, heavy-ball's effective learning rate lr / (1 - momentum), and which rule it is.

    Adaptive rules step in units of their own: for them momentum is beta_1, and lr is no such rate.
    """
    return {
        "momentum": momentum,
        "log_momentum_lr": safe_log(lr / np.maximum(1 - momentum, 1e-6)),
        **{name: (optimizer == name).astype(np.float64) for name in _OPTIMIZERS},
    }
