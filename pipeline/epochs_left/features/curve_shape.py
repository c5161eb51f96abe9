"""The shape of the loss curve so far, in no unit of loss or time: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.dynamics.curves import back_by_share, running_minimum
from epochs_left.features import feature_group
from epochs_left.schema import View

_SHARES = (0.25, 0.5, 0.75)  # of the epochs so far


@feature_group(
    view=View.CAUSAL,
    units={
        **{f"progress_at_{share:.0%}": "1" for share in _SHARES},
        "fall_bend": "1",
        "above_best": "1",
        "age_of_best": "1",
        "roughness": "1",
    },
)
def curve_shape(loss: FloatArray, epoch: FloatArray) -> dict[str, FloatArray]:
    """Share of the fall so far that was done at 25, 50 and 75 % of the epochs so far, and so on.

    A loss in another unit, with another floor or counted in another unit of time has the same
    shape. Roughness is the path of the loss over its net fall.
    """
    first, best = loss[:, :1], running_minimum(loss)
    fall = np.maximum(first - best, 1e-300)
    progress = {share: (first - back_by_share(loss, share)) / fall for share in _SHARES}
    steps = np.abs(np.diff(loss, axis=1, prepend=first))
    since_best = _since(loss <= best)
    return {
        **{f"progress_at_{share:.0%}": np.clip(value, -2, 2) for share, value in progress.items()},
        "fall_bend": np.clip(progress[0.5] - (progress[0.25] + progress[0.75]) / 2, -2, 2),
        "above_best": np.clip((loss - best) / fall, 0, 10),
        "age_of_best": since_best / (epoch + 1),
        "roughness": np.log1p(np.minimum(np.cumsum(steps, axis=1) / fall, 1e6)),
    }


def _since(reached: BoolArray) -> FloatArray:
    """Return the columns since the last one where ``reached`` holds."""
    column = np.arange(reached.shape[1])
    last = np.maximum.accumulate(np.where(reached, column, 0), axis=1)
    return (column - last).astype(np.float64)
