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
    """Joint test that coefficients are zero; F with (df, df_residual) degrees of freedom."""

    statistic: float
    df: int
    df_residual: int
    p_value: float


@dataclass(frozen=True)
class LikelihoodRatio:
    """Likelihood-ratio test of nested models, valid for independent rows only; chi^2 with df."""

    statistic: float
    df: int
    p_value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class LeastSquaresFit:
    """A weighted least-squares fit that several hypotheses are tested on.

    Attributes
    ----------
    X
        Columns of the model, shape ``(n, k)``.
    weight
        Weight of each row, shape ``(n,)``.
    estimate
        Coefficients, shape ``(k,)``.
    bread
        (X'WX)^-1, shape ``(k, k)``.
    residual
        y less what is fitted, shape ``(n,)``.
    """

    X: FloatArray
    weight: FloatArray
    estimate: FloatArray
    bread: FloatArray
    residual: FloatArray

    @property
    def rss(self) -> float:
        """Weighted sum of squared residuals."""
        return float(np.sum(self.weight * self.residual**2))


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterCovariance:
    """Covariance of the coefficients of a fit, robust to correlation within ``n_clusters``.

    ``classical``, shape ``(k,)``: their variances if rows were independent, as units.
    """

    matrix: FloatArray
    classical: FloatArray
    n_clusters: int


def least_squares(
    X: FloatArray, y: FloatArray, weight: FloatArray | None = None
) -> LeastSquaresFit:
    """Fit a linear model.

    Parameters
    ----------
    X
        Columns of the model, shape ``(n, k)``; with a column of ones if it has an intercept.
    y
        Response, shape ``(n,)``.
    weight
        Weight of each row, above 0, shape ``(n,)``; 1 if absent.

    Raises
    ------
    ValueError
        If columns of X are linearly dependent (a coefficient that is not identified has no test),
        if a value is not finite, or if no residual is left.

    Notes
    -----
    A Gram matrix squares the condition number. So it only serves to find a basis in which the
    columns are nearly orthonormal, and a second one, in that basis, is solved (as in Cholesky QR2:
    Yamamoto et al. 2015, ETNA 44): the accuracy of a QR decomposition at the price of products.
    """
    weight = _checked(X, y, weight)
    basis = _whitening(_moments(X, y, weight, np.eye(X.shape[1]))[:, :-1])
    moments = _moments(X, y, weight, basis)
    inverse = np.linalg.inv(moments[:, :-1])
    estimate = basis @ (inverse @ moments[:, -1])
    residual = y - X @ estimate
    if not residual.any():
        raise ValueError("the fit is exact: without residuals there is nothing to test")
    bread = basis @ inverse @ basis.T
    return LeastSquaresFit(X=X, weight=weight, estimate=estimate, bread=bread, residual=residual)


def cluster_covariance(fit: LeastSquaresFit, cluster: Labels) -> ClusterCovariance:
    """Return the sandwich covariance B (sum_g u_g u_g') B c with B = (X'WX)^-1.

    The cluster's score u_g is the sum of w x e over its rows, and c = G / (G - 1) (n - 1) / (n -
    k): CR1 of Cameron & Miller 2015, J. Human Resources 50, Sec. II. As in statsmodels'
    ``cov_type="cluster"``.

    Parameters
    ----------
    cluster
        Cluster (lineage) of each row, shape ``(n,)``; G of them. Integer codes: names are slow.

    Notes
    -----
    G must be large in every column: the error of a coefficient that rests on a handful of clusters
    comes out too small (their Sec. VI).
    """
    n, k = fit.X.shape
    names, code = np.unique(cluster, return_inverse=True)
    if names.size < 2:
        raise ValueError("expected rows of at least two clusters, got one")
    of_row = (fit.weight * fit.residual, (code, np.arange(n)))
    scores = sparse.csr_array(of_row, shape=(names.size, n)) @ fit.X
    influence = scores @ fit.bread
    correction = names.size / (names.size - 1) * (n - 1) / (n - k)
    return ClusterCovariance(
        matrix=correction * (influence.T @ influence),
        classical=np.diag(fit.bread) * fit.rss / (n - k),
        n_clusters=names.size,
    )


def coefficients(
    fit: LeastSquaresFit, covariance: ClusterCovariance, *, level: float = 0.95
) -> Coefficients:
    """Return the coefficients with t intervals of G - 1 degrees of freedom.

    Parameters
    ----------
    level
        Coverage of the intervals, in (0, 1); ValueError otherwise.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    error = np.sqrt(np.diag(covariance.matrix))
    half = float(stdtrit(covariance.n_clusters - 1, (1 + level) / 2)) * error
    return Coefficients(fit.estimate, error, fit.estimate - half, fit.estimate + half)


def cluster_wald(
    fit: LeastSquaresFit, covariance: ClusterCovariance, tested: Sequence[int]
) -> ClusterWald:
    """Test that the ``tested`` coefficients are zero, whatever the correlation within clusters.

    F with q and G - 1 degrees of freedom: Cameron & Miller 2015, Sec. VI.

    Parameters
    ----------
    tested
        Indices of the q columns whose coefficients are jointly zero under the null hypothesis.

    Raises
    ------
    ValueError
        If ``tested`` names no column, or one twice, if G <= q, or if the robust covariance of the
        tested coefficients is singular, as for indicators of single clusters.
    """
    _check_tested(fit, tested)
    if covariance.n_clusters <= len(tested):
        raise ValueError(f"{covariance.n_clusters} clusters cannot test {len(tested)} coefficients")
    statistic = _wald(fit.estimate, covariance.matrix, covariance.classical, np.asarray(tested))
    q, df_residual = len(tested), covariance.n_clusters - 1
    return ClusterWald(statistic, q, df_residual, float(fdtrc(q, df_residual, statistic)))


def likelihood_ratio(fit: LeastSquaresFit, tested: Sequence[int]) -> LikelihoodRatio:
    """Test that the ``tested`` coefficients are zero as if rows were independent: iid only.

    n log(RSS without the tested columns / RSS with them) against chi^2 (Wilks 1938, Ann. Math.
    Stat. 9), for Gaussian errors of unknown variance sigma^2 / w. On clustered rows it rejects far
    too often; `cluster_wald` decides.

    Parameters
    ----------
    tested
        As in `cluster_wald`.
    """
    _check_tested(fit, tested)
    b = fit.estimate[list(tested)]
    explained = b @ np.linalg.solve(fit.bread[np.ix_(tested, tested)], b)  # RSS without less with
    statistic = float(fit.residual.size * np.log1p(explained / fit.rss))
    return LikelihoodRatio(statistic, len(tested), float(chdtrc(len(tested), statistic)))


def _check_tested(fit: LeastSquaresFit, tested: Sequence[int]) -> None:
    k = fit.X.shape[1]
    if not len(tested) or np.setdiff1d(tested, np.arange(k)).size:
        raise ValueError(f"tested must name columns 0 to {k - 1}, got {list(tested)}")
    if len(set(tested)) < len(tested):
        raise ValueError(f"tested names a column twice: {list(tested)}")


def _checked(X: FloatArray, y: FloatArray, weight: FloatArray | None) -> FloatArray:
    """Return the weights, once the arguments are known to make sense."""
    n, k = X.shape
    weight = np.ones(n) if weight is None else weight
    if n <= k:
        raise ValueError(f"expected more rows than columns, got {n} rows and {k} columns")
    if not (np.all(np.isfinite(X)) and np.all(np.isfinite(y))):
        raise ValueError("X and y must be finite; leave the other rows out")
    if not (np.all(weight > 0) and np.all(np.isfinite(weight))):
        raise ValueError("weights must be finite and above 0; leave the other rows out")
    return weight


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
