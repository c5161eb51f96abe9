"""Polynomial regression (seed 003, section 4.1): squares and cubes of the features."""

from __future__ import annotations

from sklearn.base import RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from epochs_left.regressors import regressor
from epochs_left.regressors._transforms import Powers, with_bounded_inputs

#: Ridge penalty, in rows (every column has unit variance). x and x^3 are almost collinear: without
#: it the normal equations are singular to rounding; 1 row of 100,000 leaves the fit as it is.
PENALTY = 1.0


@regressor(title="Polynomial", scale="log")
def polynomial(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Ridge regression on x, x^2 and x^3 of the standardised features; nothing is random."""
    return with_bounded_inputs(
        Ridge(alpha=PENALTY), ("powers", Powers()), ("rescale", StandardScaler())
    )
