"""Settings of the run, known before it starts: causal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View

_ACTIVATIONS = ("abs", "relu", "leaky_relu", "tanh")


@feature_group(
    view=View.CAUSAL,
    units={"log_lr": "log(parameter units^2 / loss)"},
)
def learning_rate(lr: FloatArray) -> dict[str, FloatArray]:
    """Learning rate."""
    return {"log_lr": safe_log(lr)}


@feature_group(
    view=View.CAUSAL,
    units={
        "momentum": "1",
        "log_momentum_lr": "log(parameter units^2 / loss)",
        "nesterov": "0 or 1",
    },
)
def optimizer_settings(
    lr: FloatArray, momentum: FloatArray, optimizer: NDArray[Any]
) -> dict[str, FloatArray]:
    """Momentum, heavy-ball's effective learning rate lr / (1 - momentum), and Nesterov or not."""
    return {
        "momentum": momentum,
        "log_momentum_lr": safe_log(lr / np.maximum(1 - momentum, 1e-6)),
        "nesterov": (optimizer == "nesterov").astype(np.float64),
    }


@feature_group(
    view=View.CAUSAL,
    units={"batch_share": "1"},
)
def batch(batch_size: FloatArray, n_examples: FloatArray) -> dict[str, FloatArray]:
    """Share of the training set that one step sees."""
    return {"batch_share": batch_size / n_examples}


@feature_group(
    view=View.CAUSAL,
    units={
        "log_n_params": "log(parameters)",
        **{f"activation_{name}": "0 or 1" for name in _ACTIVATIONS},
    },
)
def model_kind(n_params: FloatArray, activation: NDArray[Any]) -> dict[str, FloatArray]:
    """Size and activation of the model."""
    return {
        "log_n_params": safe_log(n_params),
        **{f"activation_{name}": (activation == name).astype(float) for name in _ACTIVATIONS},
    }
