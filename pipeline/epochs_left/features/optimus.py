"""Baseline: the loss curve that the Optimus scheduler fits."""

from __future__ import annotations

from functools import partial

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.extrapolation import FLOOR_SHARES, mean_since, optimus_epochs
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={"optimus_epochs_remaining": "epochs", "optimus_half_epochs_remaining": "epochs"},
    baseline=True,
)
def optimus(loss: FloatArray, epoch: FloatArray, target: FloatArray) -> dict[str, FloatArray]:
    """Epochs to the target if the loss goes on as 1 / (b0 t + b1) + b2, all three at least 0.

    Peng et al. 2018 (EuroSys, "Optimus"). Fitted to all epochs so far, as published, and to the
    later half of them; b2 is 0 or the share of the target that fits best.
    """
    spans = {"optimus": 0.0, "optimus_half": 0.5}
    return {
        f"{name}_epochs_remaining": optimus_epochs(
            loss, target, epoch, partial(mean_since, share=share), floor_shares=FLOOR_SHARES
        )
        for name, share in spans.items()
    }
