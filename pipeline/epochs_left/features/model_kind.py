"""Size and activation of the model, known before the run starts: causal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View

_ACTIVATIONS = ("abs", "relu", "leaky_relu", "tanh", "gelu")


@feature_group(
    view=View.CAUSAL,
    units={
        "log_n_params": "log(1 + parameters)",
        "log_n_examples": "log(examples)",
        **{f"activation_{name}": "0 or 1" for name in _ACTIVATIONS},
    },
)
def model_kind(
    n_params: FloatArray, n_examples: FloatArray, activation: NDArray[Any]
) -> dict[str, FloatArray]:
    """Size and activation of the model, and examples in the training set."""
    return {
        "log_n_params": np.log1p(n_params),
        "log_n_examples": safe_log(n_examples),
        **{f"activation_{name}": (activation == name).astype(float) for name in _ACTIVATIONS},
    }
