"""Where the loss stands: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={
        "log_loss": "log(loss)",
        "log_gap_to_target": "log(loss ratio)",
        "log_target": "log(loss)",
        "log_loss_drop": "log(loss ratio)",
        "log_elapsed": "log(epochs)",
    },
)
def loss_level(loss: FloatArray, target: FloatArray, epoch: FloatArray) -> dict[str, FloatArray]:
    """Log loss, the target and the gap to it, the drop since epoch 0, and the epochs elapsed."""
    log_loss = safe_log(loss)
    return {
        "log_loss": log_loss,
        "log_gap_to_target": log_loss - safe_log(target),
        "log_target": np.broadcast_to(safe_log(target), log_loss.shape),
        "log_loss_drop": log_loss[:, :1] - log_loss,
        "log_elapsed": np.log1p(epoch),
    }
