"""The gradient's length: causal."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log, trailing_slope
from epochs_left.features import feature_group
from epochs_left.schema import View

_WINDOW = 4  # epochs


@feature_group(
    view=View.CAUSAL,
    units={
        "log_grad_norm": "log(loss / parameter units)",
        "log_grad_norm_slope": "1/epoch",
        "log_gradient_dominance": "log(loss / parameter units^2)",
    },
)
def gradient_norm(loss: FloatArray, grad_norm: FloatArray) -> dict[str, FloatArray]:
    """Gradient norm, its slope over 4 epochs, and gradient dominance |grad|^2 / loss.

    Gradient dominance (Polyak 1963, Lojasiewicz 1963) bounded below means linear convergence to
    zero loss; it vanishes at a stationary point that is not a solution.
    """
    log_grad_norm = safe_log(grad_norm)
    return {
        "log_grad_norm": log_grad_norm,
        "log_grad_norm_slope": trailing_slope(log_grad_norm, _WINDOW),
        "log_gradient_dominance": 2 * log_grad_norm - safe_log(loss),
    }
