"""How much of the way to the target is done, on the log scale: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import EPOCH_LIMIT, back_by_share, running_minimum, safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View

_SHARES = (0.5, 0.75)  # of the epochs so far: the slope is over what came after


@feature_group(
    view=View.CAUSAL,
    units={
        "log_progress": "1",
        "log_gap_of_best": "log(loss ratio)",
        "log_epochs_by_progress": "log(epochs)",
        **{f"log_epochs_by_share_{share:.0%}": "log(epochs)" for share in _SHARES},
        **{f"log_epochs_by_power_{share:.0%}": "log(epochs)" for share in _SHARES},
    },
)
def target_progress(
    loss: FloatArray, target: FloatArray, epoch: FloatArray
) -> dict[str, FloatArray]:
    """Share of log(loss_0 / target) that is done, and the epochs to the target at that pace.

    Paces are the fall of log loss an epoch (exponential) and per log epoch (power law), over all
    epochs so far and over the later half and quarter of them.
    """
    log_loss, log_target = safe_log(loss), safe_log(target)
    gap = np.maximum(log_loss - log_target, 0.0)
    fallen = log_loss[:, :1] - log_loss
    clock = np.log1p(epoch)
    features = {
        "log_progress": np.clip(fallen / np.maximum(log_loss[:, :1] - log_target, 1e-6), -2, 2),
        "log_gap_of_best": safe_log(running_minimum(loss)) - log_target,
        "log_epochs_by_progress": np.log1p(_epochs(gap, fallen, epoch)),
    }
    for share in _SHARES:
        fall = back_by_share(log_loss, share) - log_loss
        elapsed = epoch - back_by_share(epoch, share)
        log_ratio = _epochs(gap, fall, clock - back_by_share(clock, share))
        by_power = np.minimum((epoch + 1) * np.expm1(log_ratio), EPOCH_LIMIT)
        features[f"log_epochs_by_share_{share:.0%}"] = np.log1p(_epochs(gap, fall, elapsed))
        features[f"log_epochs_by_power_{share:.0%}"] = np.log1p(by_power)
    return features


def _epochs(gap: FloatArray, fall: FloatArray, elapsed: FloatArray) -> FloatArray:
    """Return the time in which the gap closes if ``fall`` took ``elapsed``, at most the limit."""
    at_pace = gap * elapsed / np.where(fall > 0, fall, 1.0)
    never = np.where(gap > 0, EPOCH_LIMIT, 0.0)
    return np.minimum(np.where(fall > 0, at_pace, never), EPOCH_LIMIT)
