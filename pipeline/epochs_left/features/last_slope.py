"""Baseline: a straight line through the last losses."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.extrapolation import linear_epochs
from epochs_left.features import feature_group
from epochs_left.schema import View

_WINDOW = 4  # epochs


@feature_group(view=View.CAUSAL, units={"last_slope_epochs_remaining": "epochs"}, baseline=True)
def last_slope(loss: FloatArray, epoch: FloatArray, target: FloatArray) -> dict[str, FloatArray]:
    """Epochs to the target if the loss goes on along the line through its last four epochs."""
    return {"last_slope_epochs_remaining": linear_epochs(loss, target, epoch, _WINDOW)}
