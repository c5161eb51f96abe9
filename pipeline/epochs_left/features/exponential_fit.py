"""Baseline: a geometric decay fitted to the run's own curve."""

from __future__ import annotations

from functools import partial

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import trailing_mean
from epochs_left.dynamics.extrapolation import FLOOR_SHARES, exponential_epochs, mean_since
from epochs_left.features import feature_group
from epochs_left.schema import View

_LAST = partial(trailing_mean, window=8)
_LATER_HALF = partial(mean_since, share=0.5)


@feature_group(
    view=View.CAUSAL,
    units={
        "exponential_epochs_remaining": "epochs",
        "exponential_8_epochs_remaining": "epochs",
        "exponential_floor_epochs_remaining": "epochs",
    },
    baseline=True,
)
def exponential_fit(
    loss: FloatArray, epoch: FloatArray, target: FloatArray
) -> dict[str, FloatArray]:
    """Epochs to the target if the loss goes on as an exponential, by least squares of its log.

    Fitted to the later half of the epochs so far, to the last eight, and to the later half with the
    floor below the target that fits best.
    """
    curve = (loss, target, epoch)
    return {
        "exponential_epochs_remaining": exponential_epochs(*curve, _LATER_HALF),
        "exponential_8_epochs_remaining": exponential_epochs(*curve, _LAST),
        "exponential_floor_epochs_remaining": exponential_epochs(
            *curve, _LATER_HALF, floor_shares=FLOOR_SHARES
        ),
    }
