"""Baseline: a straight line through the run's last losses."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._first_feature import curve_fit


@regressor(
    title="Last slope",
    scale="epochs",
    columns=("last_slope_epochs_remaining",),
)
def last_slope(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Remaining epochs if the loss keeps falling as fast as over the last four epochs.

    Where it does not fall, the median of the training rows where it did not.
    """
    return curve_fit()
