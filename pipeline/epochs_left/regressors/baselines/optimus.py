"""Baseline: the loss curve that the Optimus scheduler fits (Peng et al. 2018)."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._first_feature import curve_fit


@regressor(
    title="Optimus form",
    scale="epochs",
    columns=("optimus_half_epochs_remaining",),
)
def optimus(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Remaining epochs on 1 / (b0 t + b1) + b2 through the later half of the run's own losses.

    The whole history, as published, did worse on networks, so it would be easier to beat.
    """
    return curve_fit()
