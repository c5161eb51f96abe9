"""The target on the clock of the cumulative learning rate: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.clock import epochs_until, time_on_clock
from epochs_left.dynamics.curves import EPOCH_LIMIT, back_by_share, safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View

_SHARES = (0.0, 0.5, 0.75)  # of the epochs so far: the slope is over what came after


@feature_group(
    view=View.CAUSAL,
    units={f"log_epochs_on_clock_{share:.0%}": "log(epochs)" for share in _SHARES},
)
def target_on_clock(
    loss: FloatArray, target: FloatArray, epoch: FloatArray, lr: FloatArray, planned_lr: FloatArray
) -> dict[str, FloatArray]:
    """Epochs to the target if log loss keeps falling as fast per unit of learning rate.

    The pace is that over all epochs so far, the later half, and the last quarter of them.
    """
    relative = planned_lr / lr
    clock = time_on_clock(relative, epoch)
    log_loss = safe_log(loss)
    gap = np.maximum(log_loss - safe_log(target), 0.0)
    features = {}
    for share in _SHARES:
        fall = back_by_share(log_loss, share) - log_loss
        elapsed = clock - back_by_share(clock, share)
        needed = np.where(fall > 0, gap * elapsed / np.where(fall > 0, fall, 1.0), EPOCH_LIMIT)
        until = epochs_until(relative, clock + np.minimum(needed, EPOCH_LIMIT)) - epoch
        found = np.where(gap > 0, np.clip(until, 0.0, EPOCH_LIMIT), 0.0)
        features[f"log_epochs_on_clock_{share:.0%}"] = np.log1p(found)
    return features
