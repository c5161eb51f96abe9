"""What theory says: the closed-form rate of the unit |w.x + b| in full batch."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.closed_form import epochs_to_loss
from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units={"theory_epochs_remaining": "epochs"}, baseline=True)
def theory(loss: FloatArray, target: FloatArray, lr: FloatArray) -> dict[str, FloatArray]:
    """Epochs to the target if the loss shrinks by (1 - 2 lr)^2 an epoch, rounded up.

    Exact for the unit in full batch without momentum on its way to zero loss
    (`dynamics.closed_form`); anywhere else it is a baseline and nothing more.
    """
    epochs = epochs_to_loss(loss, target, np.abs(1 - 2 * lr))
    return {"theory_epochs_remaining": np.minimum(np.ceil(epochs), EPOCH_LIMIT)}
