"""Kernel regression with a polynomial kernel (seed 003, section 4.2)."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._kernels import CHEAPER, kernel_ridge, with_best_penalty


@regressor(
    title="Kernel, polynomial",
    scale="log",
    candidates=[with_best_penalty(degree=degree) for degree in (2, 3)],
    cheaper=CHEAPER,
)
def kernel_polynomial(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Kernel ridge regression with (1 + x.x' / p)^degree: interactions too; nothing is random."""
    return kernel_ridge("polynomial", degree=2)
