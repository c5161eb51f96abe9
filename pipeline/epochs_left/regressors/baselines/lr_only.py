"""Baseline: the learning rate alone."""

from __future__ import annotations

from sklearn.base import RegressorMixin
from xgboost import XGBRegressor

from epochs_left.regressors import regressor
from epochs_left.regressors._fitting import N_JOBS


@regressor(title="Learning rate only", scale="log", columns=("log_lr",))
def lr_only(random_state: int) -> RegressorMixin:
    """Boosted trees on the log of the learning rate, which both too small and too large is slow.

    Forty trees of eight leaves draw any smooth curve of one variable.
    """
    return XGBRegressor(
        n_estimators=40,
        learning_rate=0.2,
        max_depth=3,
        tree_method="hist",
        n_jobs=N_JOBS,
        random_state=random_state,
    )
