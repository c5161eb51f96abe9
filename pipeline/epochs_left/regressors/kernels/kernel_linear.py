"""Kernel regression with a linear kernel (seed 003, section 4.2)."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._kernels import kernel_ridge, with_best_penalty


@regressor(title="Kernel, linear", scale="log", candidates=[with_best_penalty()])
def kernel_linear(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Kernel ridge regression with x.x'; nothing is random.

    With more landmarks than features it is log-linear regression with a penalty, on a sample.
    """
    return kernel_ridge("linear")
