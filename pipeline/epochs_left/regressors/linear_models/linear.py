"""Ordinary linear regression (seed 003, section 4.1): epochs = b0 + sum(b_i f_i)."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._ridge import GroupedRidge
from epochs_left.regressors._transforms import LEAST_PENALTY, least_squares, with_bounded_inputs

#: Penalties to choose from, in rows.
PENALTIES = (LEAST_PENALTY, 1.0, 10.0, 100.0, 1000.0)


@regressor(title="Linear", scale="epochs", candidates=[{"model": GroupedRidge(PENALTIES)}])
def linear(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Least squares on standardised features; it draws nothing at random."""
    return with_bounded_inputs(least_squares())
