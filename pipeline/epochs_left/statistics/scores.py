"""Scores from per-cluster sums, so that a bootstrap costs a matrix product, and the others.

Notation: y actual, e = predicted - actual, w weight of the row. A cluster is a lineage. Every
score of a set of clusters follows from the sums over its rows, ``SUMS``; adding clusters adds sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, IntArray, Labels

#: Columns of the array that `error_sums` returns.
SUMS = ("w", "wy", "wy2", "we2", "w|e|")

SumStatistic = Callable[[FloatArray], FloatArray]


def error_sums(
    actual: FloatArray, predicted: FloatArray, cluster: Labels, weight: FloatArray | None = None
) -> FloatArray:
    """Sum what R^2, MSE and MAE need, by cluster.

    Parameters
    ----------
    actual, predicted
        Values on the scale that is scored, shape ``(n,)``.
    cluster
        Cluster (lineage) of each row, shape ``(n,)``.
    weight
        Weight of each row, shape ``(n,)``; 1 if absent.

    Returns
    -------
    Array of shape ``(n_clusters, 5)``, columns ``SUMS``. y is measured from its overall mean, which
    changes no score and keeps the variance from cancelling.
    """
    weight = np.ones(actual.shape) if weight is None else weight
    centred = actual - np.average(actual, weights=weight)
    error = np.subtract(predicted, actual, dtype=np.float64)
    terms = (weight, weight * centred, weight * centred**2, weight * error**2, weight * abs(error))
    return _by_cluster(terms, cluster)


def mean_sums(values: FloatArray, cluster: Labels, weight: FloatArray | None = None) -> FloatArray:
    """Sum what a weighted mean needs, by cluster: shape ``(n_clusters, 2)``, columns w and wv."""
    weight = np.ones(values.shape) if weight is None else weight
    return _by_cluster((weight, weight * values), cluster)


def _by_cluster(terms: tuple[FloatArray, ...], cluster: Labels) -> FloatArray:
    code = cluster_codes(cluster)
    return np.stack([np.bincount(code, weights=term) for term in terms], axis=1)


def cluster_codes(cluster: Labels) -> IntArray:
    """Return the clusters of rows as numbers from 0 on, in the order of their labels.

    Such numbers are returned as they are, which saves the sorting: sums of many models on the same
    rows are a matter of seconds with numbers and of a minute with names.
    """
    if cluster.size and cluster.dtype.kind == "i" and cluster.min() == 0:
        counts = np.bincount(cluster)
        if counts.all():
            return cluster
    codes: IntArray = np.unique(cluster, return_inverse=True)[1]
    return codes


def r2(sums: FloatArray) -> FloatArray:
    """Coefficient of determination from summed ``SUMS``, shape ``(..., 5)`` to ``(...)``.

    1 - sum(w e^2) / sum(w (y - mean)^2); NaN where y does not vary.
    """
    w, wy, wy2, we2 = (sums[..., i] for i in range(4))
    spread = wy2 - wy**2 / w
    # Rounding leaves about 1e-16 of wy2 where the spread is zero.
    varies = spread > 1e-12 * wy2
    ratio = np.divide(we2, spread, out=np.full(np.shape(spread), np.nan), where=varies)
    return np.asarray(1.0 - ratio)


def mse(sums: FloatArray) -> FloatArray:
    """Weighted mean squared error from summed ``SUMS``, shape ``(..., 5)`` to ``(...)``."""
    return np.asarray(sums[..., 3] / sums[..., 0])


def mae(sums: FloatArray) -> FloatArray:
    """Weighted mean absolute error from summed ``SUMS``, shape ``(..., 5)`` to ``(...)``."""
    return np.asarray(sums[..., 4] / sums[..., 0])


def mean(sums: FloatArray) -> FloatArray:
    """Weighted mean from summed `mean_sums`, shape ``(..., 2)`` to ``(...)``."""
    return np.asarray(sums[..., 1] / sums[..., 0])


#: Scores that follow from summed `error_sums`.
SUM_SCORES: Mapping[str, SumStatistic] = {"r2": r2, "mse": mse, "mae": mae}


def relative_error(actual: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return |predicted - R| / R, shape ``(n,)``; rows with R = 0 must be left out (ValueError)."""
    if not np.all(actual > 0):
        raise ValueError("a relative error needs remaining epochs above 0; leave rows with 0 out")
    return np.asarray(abs(predicted - actual) / actual)


def weighted_median(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Smallest value at which the cumulative weight reaches one half.

    Parameters
    ----------
    values
        Shape ``(n,)``, at least one.
    weight
        Shape ``(..., n)``: one median for each vector of weights.

    Returns
    -------
    Array of shape ``(...)``.
    """
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weight[..., order], axis=-1)
    # The tolerance makes sums of 1/n reach their half whatever the order of addition.
    half = 0.5 * mass[..., -1:] * (1 - 1e-12)
    first = np.argmax(mass >= half, axis=-1)
    return np.asarray(values[order][first])


def covered(actual: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return 1 where the closed interval holds the actual value, else 0, shape ``(n,)``.

    An upper end of NaN is none: the interval goes on. The weighted mean (`mean_sums`, `mean`) of
    what is returned is the coverage.
    """
    inside: BoolArray = (lower <= actual) & ~(actual > upper)
    return inside.astype(np.float64)


def log_width(lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return log(1 + upper) - log(1 + lower), bounds in epochs, shape ``(n,)``."""
    return np.asarray(np.log1p(upper) - np.log1p(lower))


def auc(
    outcome: BoolArray, probability: FloatArray, weight: FloatArray | None = None
) -> FloatArray:
    """Area under the ROC curve for one or many vectors of weights.

    P(score of a positive > score of a negative) + P(equal) / 2: scikit-learn's roc_auc_score,
    vectorised over bootstrap weights.

    Parameters
    ----------
    outcome, probability
        What happened and the predicted probability of it, shape ``(n,)``.
    weight
        Shape ``(..., n)``; 1 if absent.

    Returns
    -------
    Array of shape ``(...)``; NaN where one of the outcomes has no weight.
    """
    weight = np.ones(outcome.shape) if weight is None else weight
    order = np.argsort(probability, kind="stable")
    starts = np.flatnonzero(np.diff(probability[order], prepend=-np.inf))
    positive = np.add.reduceat((weight * outcome)[..., order], starts, axis=-1)
    negative = np.add.reduceat((weight * ~outcome)[..., order], starts, axis=-1)
    below = np.cumsum(negative, axis=-1) - negative / 2
    pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
    wins = (positive * below).sum(axis=-1)
    defined = np.divide(wins, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)
    return np.asarray(defined)


def landmark_rows(run: Labels, epoch: IntArray, at: int) -> IntArray:
    """Return the indices of the rows at epoch ``at``: one row of each run that got there.

    Raises
    ------
    ValueError
        If a run has that epoch twice.
    """
    rows = np.flatnonzero(epoch == at)
    if np.unique(run[rows]).size != rows.size:
        raise ValueError(f"a run has epoch {at} more than once; leave duplicates out")
    return rows
