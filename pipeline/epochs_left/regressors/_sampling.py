"""Rows drawn by what they hold rather than by where they stand."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from epochs_left.arrays import FloatArray, IntArray, Labels
from epochs_left.regressors._fitting import fit_weighted

Keys = NDArray[np.uint64]


def row_keys(X: FloatArray, y: FloatArray) -> Keys:
    """Return a pseudo-random number a row, shape ``(n,)``, which equal rows share.

    It depends on the values of the row alone: whatever is drawn or ordered by it is the same
    however the rows are shuffled. A multilinear hash (Carter & Wegman 1979) of the bits of
    ``X``, shape ``(n, p)``, and ``y``, shape ``(n,)``.
    """
    odd = np.random.default_rng(0).integers(1 << 63, size=X.shape[1] + 1, dtype=np.uint64) * 2 + 1
    total = np.zeros(y.size, dtype=np.uint64)
    for column, factor in zip((*X.T, y), odd, strict=True):
        values = np.where(column == 0, 0.0, column)  # -0 too
        total += _mixed(values.astype(np.float64).view(np.uint64)) * factor
    return _mixed(_mixed(total) * odd[-1])


def _mixed(bits: Keys) -> Keys:
    """Return the bits with the upper half also in the lower one, which products leave empty."""
    return np.asarray(bits ^ (bits >> np.uint64(32)))


def ordered_rows(keys: Keys, rows: int | None = None) -> IntArray:
    """Return the positions of the ``rows`` smallest keys (None: of all), in the order of the keys.

    Rows that tie with the last one come along, so that copies of a row stay together.
    """
    order = np.argsort(keys, kind="stable")
    if rows is None or keys.size <= rows:
        return order
    return order[: int(np.searchsorted(keys[order], keys[order[rows - 1]], side="right"))]


@dataclass(frozen=True)
class Rows:
    """What an estimator is fitted on: shapes ``(n, p)`` of X and ``(n,)`` of all the others."""

    X: FloatArray
    y: FloatArray
    weight: FloatArray
    groups: Labels
    upper: FloatArray | None = None

    def take(self, rows: IntArray | slice) -> Rows:
        """Return some of the rows."""
        upper = None if self.upper is None else self.upper[rows]
        return Rows(self.X[rows], self.y[rows], self.weight[rows], self.groups[rows], upper)

    def fit(self, estimator: Any) -> Any:
        """Fit the estimator in place and return it."""
        return fit_weighted(
            estimator, self.X, self.y, self.weight, groups=self.groups, upper=self.upper
        )


class StandIn(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """An estimator that predicts by another one, which it has fitted: ``predictor_``.

    The other one is all that is stored of it.
    """

    estimator: Any

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: Labels | None = None,
        upper: ArrayLike | None = None,
    ) -> Self:
        """Fit the estimator that will predict.

        Parameters
        ----------
        X, y
            Features, shape ``(n, p)``, NaN where unknown, and targets, shape ``(n,)``.
        sample_weight
            Weight of each row, shape ``(n,)``; rows without any are left out.
        groups
            Label of each row, shape ``(n,)``: rows of a group are never split. Without labels only
            equal rows belong together.
        upper
            Upper bounds of the targets, shape ``(n,)``, if the estimator takes them.
        """
        values, target = validate_data(
            self, X, y, dtype=[np.float64, np.float32], ensure_all_finite=False, y_numeric=True
        )
        weight = np.asarray(_check_sample_weight(sample_weight, values, dtype=np.float64))
        keys = row_keys(values, target)
        labels = keys if groups is None else np.asarray(groups)
        known = np.flatnonzero(weight)
        rows = known[ordered_rows(keys[known])]
        bounds = None if upper is None else np.asarray(upper, dtype=np.float64)[rows]
        self._fit_in_order(
            Rows(values[rows], target[rows], weight[rows], labels[rows], upper=bounds)
        )
        return self

    def _template(self) -> Any:
        """Return an unfitted estimator that asks the same of the targets."""
        return self.estimator

    @abstractmethod
    def _fit_in_order(self, rows: Rows) -> None:
        """Set ``predictor_``; the order of the rows is random, and the same for the same rows."""

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the predictions of ``predictor_``, shape ``(n,)``."""
        check_is_fitted(self, "predictor_")
        values = validate_data(
            self, X, dtype=[np.float64, np.float32], ensure_all_finite=False, reset=False
        )
        return np.asarray(self.predictor_.predict(values), dtype=np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        template = self._template()
        asked = template[-1] if isinstance(template, Pipeline) else template
        tags.target_tags.positive_only = get_tags(asked).target_tags.positive_only
        return tags


def predictor_of(estimator: Any) -> Any:
    """Return what an estimator predicts by in the end."""
    while isinstance(estimator, StandIn):
        estimator = estimator.predictor_
    return estimator


class OnSample(StandIn):
    """Fit an estimator on a part of the rows.

    The rows of a run are almost copies of each other: some rows of every run tell more than every
    row of some runs. They are drawn by `row_keys`, so that their order does not matter.

    Parameters
    ----------
    estimator
        What is fitted.
    rows
        The most rows that it sees.
    """

    def __init__(self, estimator: Any, rows: int) -> None:
        self.estimator = estimator
        self.rows = rows

    def _fit_in_order(self, rows: Rows) -> None:
        self.predictor_ = rows.take(slice(self.rows)).fit(clone(self.estimator))
