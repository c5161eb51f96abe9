"""Ridge regression whose penalty is chosen on unseen groups, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from epochs_left.arrays import FloatArray, Labels
from epochs_left.regressors._sampling import row_keys
from epochs_left.regressors._tuning import clearly_best, folds_of_groups


class GroupedRidge(RegressorMixin, BaseEstimator):
    """Ridge regression with the best of several penalties by grouped cross-validation.

    With Z = (X, 1, y) and Z_k the rows of fold k, both the fit without the fold and its squared
    error on it follow from the Gram matrices Z'WZ and Z_k'WZ_k: all the folds together cost one
    pass over the rows, as a single fit does, and a linear system a fold and penalty.

    Parameters
    ----------
    penalties
        Squared-norm penalties, in rows of mean weight; the first one unless another is clearly
        better.
    folds
        Number of folds by group.

    Attributes
    ----------
    coef_, intercept_
        Coefficients, shape ``(p,)``, and the intercept, which is not penalised.
    alpha_
        The penalty chosen.
    """

    def __init__(self, penalties: Sequence[float] = (0.1, 1.0, 10.0), folds: int = 5) -> None:
        self.penalties = penalties
        self.folds = folds

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: Labels | None = None,
    ) -> Self:
        """Fit on ``X``, shape ``(n, p)``, and ``y``, shape ``(n,)``; weights and groups alike.

        Without groups only equal rows belong together.
        """
        values, target = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = np.asarray(_check_sample_weight(sample_weight, values, dtype=np.float64))
        labels = row_keys(values, target) if groups is None else np.asarray(groups)
        known = weight > 0
        values, target, weight, labels = (a[known] for a in (values, target, weight, labels))
        centre = np.append(weight @ values, weight @ target) / weight.sum()
        Z = np.column_stack([values - centre[:-1], np.ones(target.size), target - centre[-1]])
        grams = self._grams(Z, weight, labels)
        self.alpha_ = _best_penalty(grams, self.penalties)
        fitted = _solution(grams.sum(axis=0), self.alpha_)
        self.coef_ = fitted[:-1]
        self.intercept_ = float(centre[-1] + fitted[-1] - centre[:-1] @ self.coef_)
        return self

    def _grams(self, Z: FloatArray, weight: FloatArray, groups: Labels) -> FloatArray:
        """Return Z'WZ of each fold, shape ``(k, p + 2, p + 2)``."""
        parts = [test for _, test in folds_of_groups(groups, self.folds)] or [np.arange(len(Z))]
        scaled = Z * np.sqrt(weight)[:, None]
        return np.stack([scaled[part].T @ scaled[part] for part in parts])

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the linear predictions, shape ``(n,)``."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(values @ self.coef_ + self.intercept_)


def _best_penalty(grams: FloatArray, penalties: Sequence[float]) -> float:
    """Return the penalty that is clearly best on the folds, else the first one."""
    if len(grams) == 1 or len(penalties) == 1:
        return float(penalties[0])
    total = grams.sum(axis=0)
    errors = [[_error(gram, _solution(total - gram, a)) for a in penalties] for gram in grams]
    return float(penalties[clearly_best(np.array(errors))])


def _solution(gram: FloatArray, penalty: float) -> FloatArray:
    """Return coefficients and intercept, shape ``(p + 1,)``, from Z'WZ."""
    left = gram[:-1, :-1].copy()
    inner = np.arange(len(left) - 1)
    left[inner, inner] += penalty
    return np.asarray(solve(left, gram[:-1, -1], assume_a="pos"))


def _error(gram: FloatArray, solution: FloatArray) -> float:
    """Return the weighted sum of squared residuals of a solution, from Z'WZ."""
    residual = np.append(-solution, 1.0)
    return float(residual @ gram @ residual)
