"""What theory says: the closed-form rate of the unit |w.x + b|."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.closed_form import contraction_rate, epochs_to_loss
from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units={"theory_epochs_remaining": "epochs"}, baseline=True)
def theory(
    loss: FloatArray,
    target: FloatArray,
    lr: FloatArray,
    momentum: FloatArray,
    optimizer: NDArray[Any],
    batch_size: FloatArray,
    n_examples: FloatArray,
) -> dict[str, FloatArray]:
    """Epochs to the target if each step contracts as on the unit's quadratic, rounded up.

    Exact for the unit in full batch without momentum on its way to zero loss
    (`dynamics.closed_form`), asymptotic with momentum, an approximation for the n / batch steps of
    an online epoch. For hidden units there is no such form: it is printed there all the same.
    """
    nesterov = (optimizer == "nesterov").astype(np.float64)
    steps = np.ceil(n_examples / batch_size)
    epochs = epochs_to_loss(loss, target, contraction_rate(lr, momentum, nesterov) ** steps)
    return {"theory_epochs_remaining": np.minimum(np.ceil(epochs), EPOCH_LIMIT)}
