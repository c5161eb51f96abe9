"""Gradient boosting (seed 003, section 4.2; Chen & Guestrin 2016)."""

from __future__ import annotations

from sklearn.base import RegressorMixin
from xgboost import XGBRegressor

from epochs_left.regressors import regressor
from epochs_left.regressors._boosting import BOOSTING, FEW_ROUNDS

#: Shallower trees, more of them: about as good on all families, in three quarters of the time.
SHALLOW = {"max_depth": 4, "n_estimators": 160}


@regressor(
    title="Gradient boosting",
    scale="log",
    candidates=[{}, SHALLOW],
    cheaper=FEW_ROUNDS,
    adaptive=True,
)
def xgboost(random_state: int) -> RegressorMixin:
    """Boosted trees on the features as they are; missing values choose a branch of their own."""
    return XGBRegressor(**BOOSTING, random_state=random_state)
