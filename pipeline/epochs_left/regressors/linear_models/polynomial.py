"""Polynomial regression (seed 003, section 4.1): squares and cubes of the features."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._ridge import GroupedRidge
from epochs_left.regressors._transforms import CUBIC_PENALTY, cubic_ridge

#: Penalties to choose from, in rows.
PENALTIES = (CUBIC_PENALTY, 0.1, 10.0, 100.0, 1000.0)


@regressor(title="Polynomial", scale="log", candidates=[{"model": GroupedRidge(PENALTIES)}])
def polynomial(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Ridge regression on x, x^2 and x^3 of the standardised features; nothing is random."""
    return cubic_ridge()
