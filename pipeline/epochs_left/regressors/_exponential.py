"""A generalised linear model with log link, kept as its coefficients."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import GammaRegressor
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data


class GammaWithLogLink(RegressorMixin, BaseEstimator):
    """Mean exp(b0 + sum(b_i x_i)) and Gamma deviance (McCullagh & Nelder 1989, section 8).

    scikit-learn's ``GammaRegressor``, of which a compiled loss would be stored along. Predictions
    lie within the targets of the training rows: an exponential extrapolates to any number.

    Parameters
    ----------
    alpha
        Penalty on half the squared coefficients, in units of the mean half deviance.
    """

    def __init__(self, alpha: float = 1e-3) -> None:
        self.alpha = alpha

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit on ``X``, shape ``(n, p)``, positive ``y`` and weights, shape ``(n,)``."""
        values, target = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        model = GammaRegressor(alpha=self.alpha, solver="newton-cholesky", max_iter=50)
        model.fit(values, target, sample_weight=sample_weight)
        self.coef_, self.intercept_ = model.coef_, float(model.intercept_)
        self.lower_, self.upper_ = float(target.min()), float(target.max())
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the mean, shape ``(n,)``, within the range of training."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, reset=False)
        exponent = np.clip(
            values @ self.coef_ + self.intercept_, np.log(self.lower_), np.log(self.upper_)
        )
        return np.asarray(np.exp(exponent))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags
