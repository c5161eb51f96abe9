"""Transforms that regressors share: bounded inputs, and powers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

#: Ridge penalty of what is called least squares, in rows (every column has unit variance).
#: Collinear features, of which there are many, share their weight, and Cholesky solves the normal
#: equations in half of the time that a singular value decomposition takes. R^2 by lineage moves by
#: at most 1e-5 on neurons and perceptrons.
LEAST_PENALTY = 1e-3

#: Ridge penalty of cubics, in rows (every column has unit variance). x and x^3 are almost
#: collinear: without it the normal equations are singular to rounding; 1 row of 100,000 leaves the
#: fit as it is.
CUBIC_PENALTY = 1.0

#: Share of training rows beyond each clipping bound: 0.5 % a side cuts the few diverging epochs
#: that would otherwise set a linear model's slope, and keeps 99 % of the rows as they are.
TAIL = 0.005


class BoundToTraining(TransformerMixin, BaseEstimator):
    """Clip each feature to quantiles seen in training, and fill what is missing.

    No input is wild afterwards: infinities are clipped like every other value. The output is
    float64, which the normal equations of collinear features need.

    Parameters
    ----------
    tail
        Share of the training rows beyond each bound, in [0, 0.5).
    fill
        Replace NaN by the median of the training rows; False leaves it to the model.
    """

    def __init__(self, tail: float = TAIL, fill: bool = True) -> None:
        self.tail = tail
        self.fill = fill

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: ARG002
        """Learn bounds and medians of the columns of ``X``, shape ``(n, p)``, finite values alone.

        A column without any gets 0 for all three.
        """
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite=False)
        shares = [self.tail, 0.5, 1 - self.tail]
        quantiles = [_finite_quantiles(column, shares) for column in values.T]
        self.lower_, self.median_, self.upper_ = np.array(quantiles).T
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return ``X`` within the bounds, shape ``(n, p)``."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=False)
        bounded = np.clip(values, self.lower_, self.upper_)
        filled = np.where(np.isnan(bounded), self.median_, bounded) if self.fill else bounded
        return np.asarray(filled)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _finite_quantiles(column: NDArray[np.float64], shares: list[float]) -> NDArray[np.float64]:
    finite = column[np.isfinite(column)]
    return np.quantile(finite, shares) if finite.size else np.zeros(len(shares))


class Powers(TransformerMixin, BaseEstimator):
    """Append the squares and cubes of every feature: ``(n, p)`` to ``(n, 3p)``.

    Without interactions: with 60 features all cubic terms would be 39,710.
    """

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: ARG002
        """Check the shape of ``X``; there is nothing to learn."""
        validate_data(self, X, dtype=np.float64)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return x, x^2 and x^3 side by side, shape ``(n, 3p)``."""
        check_is_fitted(self, "n_features_in_")
        values = validate_data(self, X, dtype=np.float64, reset=False)
        squares = values * values
        return np.hstack([values, squares, squares * values])


def with_bounded_inputs(model: Any, *steps: tuple[str, Any]) -> Pipeline:
    """Return the pipeline: bound and fill -> standardise -> ``steps`` -> ``model``."""
    first = [("bound", BoundToTraining()), ("standardise", StandardScaler())]
    return Pipeline([*first, *steps, ("model", model)])


def least_squares() -> Ridge:
    """Return an unfitted least-squares model for standardised features."""
    return Ridge(alpha=LEAST_PENALTY, solver="cholesky")


def cubic_ridge() -> Pipeline:
    """Return an unfitted ridge regression on x, x^2 and x^3 of the standardised features."""
    powers = ("powers", Powers()), ("rescale", StandardScaler())
    return with_bounded_inputs(Ridge(alpha=CUBIC_PENALTY), *powers)
