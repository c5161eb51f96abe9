"""Baseline: the closed-form rate of the run, where theory gives one."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._first_feature import first_feature


@regressor(
    title="Closed-form rate",
    scale="epochs",
    columns=("theory_epochs_remaining",),
)
def theory(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Remaining epochs by the closed form of the single unit, also where it does not hold.

    Near its pole the form says millions of epochs; no prediction exceeds what training runs took.
    """
    return first_feature()
