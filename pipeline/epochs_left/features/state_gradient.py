"""The gradient at the state itself (seed 003 section 7.1): causal."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import floored_log, safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={
        "log_grad_norm_full": "log(loss / parameter units)",
        "log_full_dominance": "log(loss / parameter units^2)",
        "grad_start_cosine": "1",
        "grad_update_cosine": "1",
        "grad_cosine": "1",
    },
)
def state_gradient(
    loss: FloatArray,
    grad_norm_full: FloatArray,
    grad_start_cosine: FloatArray,
    grad_update_cosine: FloatArray,
    grad_cosine: FloatArray,
) -> dict[str, FloatArray]:
    """Norm of the full gradient, |grad|^2 / loss, its angles, and the examples' agreement."""
    log_norm = floored_log(grad_norm_full)
    return {
        "log_grad_norm_full": log_norm,
        "log_full_dominance": 2 * log_norm - safe_log(loss),
        "grad_start_cosine": grad_start_cosine,
        "grad_update_cosine": grad_update_cosine,
        "grad_cosine": grad_cosine,
    }
