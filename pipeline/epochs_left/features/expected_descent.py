"""The descent that the gradient promises, before any epoch shows it: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import epochs_at_slope, safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={"log_expected_descent": "log(1/epoch)", "log_epochs_at_expected_descent": "log(epochs)"},
)
def expected_descent(
    loss: FloatArray,
    grad_norm: FloatArray,
    target: FloatArray,
    lr: FloatArray,
    momentum: FloatArray,
    batch_size: FloatArray,
    n_examples: FloatArray,
) -> dict[str, FloatArray]:
    """First-order descent of log loss in one epoch, and the epochs to the target at that pace.

    A gradient step lowers the loss by ``lr |grad|^2`` to first order (the descent lemma), heavy
    ball by ``lr / (1 - momentum)`` times as much in the long run; an epoch has n / batch steps.
    """
    step = lr / np.maximum(1 - momentum, 1e-6)
    steps = np.ceil(n_examples / batch_size)
    log_descent = safe_log(step * steps) + 2 * safe_log(grad_norm) - safe_log(loss)
    gap = safe_log(loss) - safe_log(target)
    return {
        "log_expected_descent": log_descent,
        "log_epochs_at_expected_descent": np.log1p(epochs_at_slope(gap, -np.exp(log_descent))),
    }
