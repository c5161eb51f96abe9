"""Baseline: a power law fitted to the run's own curve."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._first_feature import curve_fit


@regressor(
    title="Power-law fit",
    scale="epochs",
    columns=("power_law_epochs_remaining",),
)
def power_law(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Remaining epochs on the power law through the later half of the run's own losses.

    Without a floor: with one it did worse on nearly all families, so it would be easier to beat.
    """
    return curve_fit()
