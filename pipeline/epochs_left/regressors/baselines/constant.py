"""Baseline: the same answer for every run."""

from __future__ import annotations

from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor

from epochs_left.regressors import regressor


@regressor(title="Constant", scale="log", columns=("log_elapsed",))
def constant(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Mean of log(1 + remaining) over the training rows; it draws nothing at random."""
    return DummyRegressor(strategy="mean")
