"""Baseline: a power law fitted to the run's own curve."""

from __future__ import annotations

from functools import partial

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.extrapolation import FLOOR_SHARES, mean_since, power_law_epochs
from epochs_left.features import feature_group
from epochs_left.schema import View

_LATER_HALF = partial(mean_since, share=0.5)


@feature_group(
    view=View.CAUSAL,
    units={
        "power_law_epochs_remaining": "epochs",
        "power_law_floor_epochs_remaining": "epochs",
    },
    baseline=True,
)
def power_law(loss: FloatArray, epoch: FloatArray, target: FloatArray) -> dict[str, FloatArray]:
    """Epochs to the target if the loss goes on as a power of t + 1, by least squares of its log.

    Fitted to the later half of the epochs so far, without a floor and with the floor below the
    target that fits best.
    """
    return {
        "power_law_epochs_remaining": power_law_epochs(loss, target, epoch, _LATER_HALF),
        "power_law_floor_epochs_remaining": power_law_epochs(
            loss, target, epoch, _LATER_HALF, floor_shares=FLOOR_SHARES
        ),
    }
