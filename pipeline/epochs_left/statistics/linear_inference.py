"""Tests of coefficients in linear models whose rows come in clusters.

The cluster-robust Wald test decides. The likelihood-ratio test takes rows as independent and is
there to be printed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import chdtrc, fdtrc, stdtrit

from epochs_left.arrays import FloatArray, IntArray, Labels

#: Rows of a block: 2 MB at 60 columns, which stays in the cache.
BLOCK_ROWS = 4096
#: Smallest eigenvalue, over the largest, of the Gram matrix of columns scaled to length 1: below it
#: one of them follows from the others. Ten times what rounding leaves of a zero.
RANK_TOLERANCE = 1e-13
#: Smallest eigenvalue of a robust covariance in units of the classical standard errors.
VARIANCE_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Least-squares coefficients with cluster-robust errors, arrays of shape ``(k,)``."""

    estimate: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, eq=False)
class ClusterWald:
    """Joint test that coefficients are zero, and the fit; F with (df, df_residual) degrees."""

    statistic: float
    df: int
    df_residual: int
    p_value: float
    coefficients: Coefficients


@dataclass(frozen=True)
class LikelihoodRatio:
    """Likelihood-ratio test of nested models, valid for independent rows only; chi^2 with df."""

    statistic: float
    df: int
    p_value: float


def cluster_wald(
    X: FloatArray,
    y: FloatArray,
    cluster: Labels,
    tested: Sequence[int],
    weight: FloatArray | None = None,
    *,
    level: float = 0.95,
) -> ClusterWald:
    """Test that the ``tested`` coefficients are zero, whatever the correlation within clusters.

    Sandwich covariance B (sum_g u_g u_g') B c with B = (X'WX)^-1, the cluster's score u_g = sum of
    w x e over its rows, and c = G / (G - 1) (n - 1) / (n - k): CR1 of Cameron & Miller 2015, J.
    Human Resources 50, Sec. II; F and t with G - 1 degrees of freedom, their Sec. VI. As in
    statsmodels' ``cov_type="cluster"``.

    Parameters
    ----------
    X
        Columns of the model, shape ``(n, k)``; with a column of ones if it has an intercept.
    y
        Response, shape ``(n,)``.
    cluster
        Cluster (lineage) of each row, shape ``(n,)``; G of them. Integer codes: names are slow.
    tested
        Indices of the q columns whose coefficients are jointly zero under the null hypothesis.
    weight
        Weight of each row, above 0, shape ``(n,)``; 1 if absent.
    level
        Coverage of the coefficients' intervals, in (0, 1).

    Raises
    ------
    ValueError
        If columns of X are linearly dependent (a coefficient that is not identified has no test),
        if a value is not finite, if G <= q, if no residual is left, or if the robust covariance of
        the tested coefficients is singular, as for indicators of single clusters.

    Notes
    -----
    G must be large in every column: the error of a coefficient that rests on a handful of clusters
    comes out too small (their Sec. VI).
    """
    weight = _checked(X, y, tested, weight)
    n, k = X.shape
    names, code = np.unique(cluster, return_inverse=True)
    if names.size <= len(tested):
        raise ValueError(f"{names.size} clusters cannot test {len(tested)} coefficients")
    estimate, bread, residual = _least_squares(X, y, weight)
    of_row = (weight * residual, (code, np.arange(n)))
    scores = sparse.csr_array(of_row, shape=(names.size, n)) @ X
    influence = scores @ bread
    correction = names.size / (names.size - 1) * (n - 1) / (n - k)
    covariance = correction * (influence.T @ influence)
    classical = np.diag(bread) * np.sum(weight * residual**2) / (n - k)
    statistic = _wald(estimate, covariance, classical, np.asarray(tested))
    q, df_residual = len(tested), names.size - 1
    return ClusterWald(
        statistic,
        q,
        df_residual,
        float(fdtrc(q, df_residual, statistic)),
        _coefficients(estimate, covariance, df_residual, level),
    )


def likelihood_ratio(
    X: FloatArray, y: FloatArray, tested: Sequence[int], weight: FloatArray | None = None
) -> LikelihoodRatio:
    """Test that the ``tested`` coefficients are zero as if rows were independent: iid only.

    n log(RSS without the tested columns / RSS with them) against chi^2 (Wilks 1938, Ann. Math.
    Stat. 9), for Gaussian errors of unknown variance sigma^2 / w. On clustered rows it rejects far
    too often; `cluster_wald` decides.

    Parameters
    ----------
    X, y, tested, weight
        As in `cluster_wald`.

    Raises
    ------
    ValueError
        If columns of X are linearly dependent, a value is not finite, or no residual is left.
    """
    weight = _checked(X, y, tested, weight)
    estimate, bread, residual = _least_squares(X, y, weight)
    b = estimate[list(tested)]
    explained = b @ np.linalg.solve(bread[np.ix_(tested, tested)], b)  # RSS without less RSS with
    statistic = float(y.size * np.log1p(explained / np.sum(weight * residual**2)))
    return LikelihoodRatio(statistic, len(tested), float(chdtrc(len(tested), statistic)))


def _checked(
    X: FloatArray, y: FloatArray, tested: Sequence[int], weight: FloatArray | None
) -> FloatArray:
    """Return the weights, once the arguments are known to make sense."""
    n, k = X.shape
    weight = np.ones(n) if weight is None else weight
    if n <= k:
        raise ValueError(f"expected more rows than columns, got {n} rows and {k} columns")
    if not len(tested) or np.setdiff1d(tested, np.arange(k)).size:
        raise ValueError(f"tested must name columns 0 to {k - 1}, got {list(tested)}")
    if len(set(tested)) < len(tested):
        raise ValueError(f"tested names a column twice: {list(tested)}")
    if not (np.all(np.isfinite(X)) and np.all(np.isfinite(y))):
        raise ValueError("X and y must be finite; leave the other rows out")
    if not (np.all(weight > 0) and np.all(np.isfinite(weight))):
        raise ValueError("weights must be finite and above 0; leave the other rows out")
    return weight


def _least_squares(
    X: FloatArray, y: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return coefficients, shape ``(k,)``, (X'WX)^-1, shape ``(k, k)``, and residuals ``(n,)``.

    A Gram matrix squares the condition number. So it only serves to find a basis in which the
    columns are nearly orthonormal, and a second one, in that basis, is solved (as in Cholesky QR2:
    Yamamoto et al. 2015, ETNA 44): the accuracy of a QR decomposition at the price of products.
    """
    basis = _whitening(_moments(X, y, weight, np.eye(X.shape[1]))[:, :-1])
    moments = _moments(X, y, weight, basis)
    inverse = np.linalg.inv(moments[:, :-1])
    estimate = basis @ (inverse @ moments[:, -1])
    residual = y - X @ estimate
    if not residual.any():
        raise ValueError("the fit is exact: without residuals there is nothing to test")
    return estimate, basis @ inverse @ basis.T, residual


def _moments(X: FloatArray, y: FloatArray, weight: FloatArray, basis: FloatArray) -> FloatArray:
    """Z'W [Z, y] for Z = X basis, summed over blocks of rows, shape ``(k, k + 1)``."""
    total = np.zeros((X.shape[1], X.shape[1] + 1))
    for start in range(0, y.size, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        z = X[rows] @ basis
        total += (z * weight[rows, None]).T @ np.column_stack([z, y[rows]])
    return total


def _whitening(gram: FloatArray) -> FloatArray:
    """Return a basis B with B' gram B = 1 up to rounding; dependent columns are refused."""
    length = np.sqrt(np.diag(gram))
    if not np.all(length):
        raise ValueError(f"columns {np.flatnonzero(length == 0).tolist()} of X are all zero")
    values, vectors = np.linalg.eigh(gram / np.outer(length, length))
    if values[0] < RANK_TOLERANCE * values[-1]:
        involved = np.flatnonzero(abs(vectors[:, 0]) > 0.01).tolist()
        raise ValueError(f"columns {involved} of X are linearly dependent; leave one of them out")
    return np.asarray(vectors / np.sqrt(values) / length[:, None])


def _wald(
    estimate: FloatArray, covariance: FloatArray, classical: FloatArray, tested: IntArray
) -> float:
    """F statistic b' V^-1 b / q, in units of the classical standard errors."""
    unit = np.sqrt(classical[tested])
    scaled = covariance[np.ix_(tested, tested)] / np.outer(unit, unit)
    if np.linalg.eigvalsh(scaled)[0] < VARIANCE_TOLERANCE:
        raise ValueError(
            f"the robust covariance of coefficients {tested.tolist()} is singular: "
            "too few clusters tell these columns apart; test fewer columns"
        )
    b = estimate[tested] / unit
    return float(b @ np.linalg.solve(scaled, b)) / tested.size


def _coefficients(
    estimate: FloatArray, covariance: FloatArray, df_residual: int, level: float
) -> Coefficients:
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    error = np.sqrt(np.diag(covariance))
    half = float(stdtrit(df_residual, (1 + level) / 2)) * error
    return Coefficients(estimate, error, estimate - half, estimate + half)
