"""Baseline: an exponential fitted to the run's own curve."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._first_feature import curve_fit


@regressor(
    title="Exponential fit",
    scale="epochs",
    columns=("exponential_epochs_remaining",),
)
def exponential_fit(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Remaining epochs on the exponential through the later half of the run's own losses.

    Without a floor: with one it gained as much on some families as it lost on others.
    """
    return curve_fit()
