"""Kernel regression with a radial basis function (seed 003, section 4.2)."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._kernels import CHEAPER, kernel_ridge, with_best_penalty


@regressor(
    title="Kernel, radial",
    scale="log",
    candidates=[with_best_penalty(scale=scale) for scale in (0.3, 0.1, 1.0)],
    cheaper=CHEAPER,
)
def kernel_rbf(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Kernel ridge regression with exp(-|x - x'|^2 scale / p); nothing is random."""
    return kernel_ridge("rbf", scale=0.3)
