"""A weighted mean of regressors, with weights from predictions for groups that they have not seen.

Stacked generalisation (Wolpert 1992; Breiman 1996): non-negative weights that sum to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted

from epochs_left.arrays import FloatArray
from epochs_left.regressors._sampling import Rows, StandIn, predictor_of
from epochs_left.regressors._tuning import folds_of_groups

#: How much more than all the rows together the sum of the weights counts in the least squares.
_SUM_WEIGHT = 1e3


class Stacked(StandIn):
    """The best convex combination of several estimators.

    Parameters
    ----------
    estimators
        Unfitted estimators of the same target, by name.
    rows
        The most rows that the weights follow from, drawn at random from all groups.
    folds
        Folds by group; each is predicted by fits without it.
    """

    def __init__(
        self, estimators: Sequence[tuple[str, Any]], rows: int = 6_000, folds: int = 2
    ) -> None:
        self.estimators = estimators
        self.rows = rows
        self.folds = folds

    def _fit_in_order(self, rows: Rows) -> None:
        weights = self._weights(rows.take(slice(self.rows)))
        chosen = np.flatnonzero(weights)
        members = [predictor_of(rows.fit(self._member(int(i)))) for i in chosen]
        self.predictor_ = Blend(members, weights[chosen])
        self.predictor_.n_features_in_ = rows.X.shape[1]

    def _template(self) -> Any:
        return self._member(0)

    def _member(self, number: int) -> Any:
        return clone(self.estimators[number][1])

    def _weights(self, rows: Rows) -> FloatArray:
        m = len(self.estimators)
        folds = folds_of_groups(rows.groups, self.folds)
        if not folds:
            return np.full(m, 1 / m)
        predicted = np.empty((rows.y.size, m))
        for train, test in folds:
            for i in range(m):
                predicted[test, i] = rows.take(train).fit(self._member(i)).predict(rows.X[test])
        return simplex_weights(predicted, rows.y, rows.weight)


class Blend(RegressorMixin, BaseEstimator):
    """A weighted mean of fitted estimators: what is kept of `Stacked`.

    Parameters
    ----------
    members
        Fitted estimators.
    weights
        Weight of each, shape ``(len(members),)``.
    """

    def __init__(self, members: Sequence[Any], weights: FloatArray) -> None:
        self.members = members
        self.weights = weights

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the weighted mean of the predictions, shape ``(n,)``."""
        terms = [w * m.predict(X) for w, m in zip(self.weights, self.members, strict=True)]
        return np.asarray(np.sum(terms, axis=0))


def simplex_weights(predicted: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
    """Return non-negative weights of sum 1 that minimise the weighted squared error.

    Lawson & Hanson's non-negative least squares, the sum as one more row that outweighs the others.

    Parameters
    ----------
    predicted
        Predictions of m models, shape ``(n, m)``.
    y, weight
        Targets, and weights of the rows, shape ``(n,)``.
    """
    root = np.sqrt(weight / weight.sum())[:, None]
    scale = np.abs(root * predicted).max() or 1.0
    left = np.vstack([root * predicted, np.full((1, predicted.shape[1]), _SUM_WEIGHT * scale)])
    right = np.append(root[:, 0] * y, _SUM_WEIGHT * scale)
    found = nnls(left, right)[0]
    return np.asarray(found / found.sum())


class PackedBoosting(RegressorMixin, BaseEstimator):
    """Boosted trees as an array of bytes, which a skops file can hold: xgboost's own UBJSON.

    Parameters
    ----------
    settings
        Those of ``XGBRegressor``.
    random_state
        Its seed.

    Attributes
    ----------
    ubjson_
        The fitted model, shape ``(n_bytes,)``, uint8.
    """

    def __init__(self, settings: Mapping[str, Any], random_state: int = 0) -> None:
        self.settings = settings
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit on ``X``, shape ``(n, p)``, NaN where unknown, ``y`` and weights, shape ``(n,)``."""
        model = xgboost.XGBRegressor(**self.settings, random_state=self.random_state)
        model.fit(X, y, sample_weight=sample_weight)
        raw = model.get_booster().save_raw(raw_format="ubj")
        self.n_features_in_ = model.n_features_in_
        self.ubjson_ = np.frombuffer(raw, dtype=np.uint8)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the predictions of the trees, shape ``(n,)``."""
        check_is_fitted(self)
        values = check_array(X, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan")
        booster = _unpacked(self.ubjson_.tobytes())
        return np.asarray(booster.inplace_predict(values), dtype=np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


@lru_cache(maxsize=8)
def _unpacked(raw: bytes) -> xgboost.Booster:
    # xgboost ends the process on bytes that are no object.
    if not (raw.startswith(b"{") and raw.endswith(b"}")):
        raise ValueError("expected boosted trees as a UBJSON object; fit the bundle again")
    return xgboost.Booster({"nthread": 1}, model_file=bytearray(raw))
