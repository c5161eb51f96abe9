"""Which of two models is better: tests on cross-validated scores and on densities.

The rows of one run are almost copies of each other, so nothing here counts rows: folds are counted
in lineages, and log densities are summed by run or lineage before they are compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from epochs_left.arrays import FloatArray, Labels


@dataclass(frozen=True)
class ResampledT:
    """The corrected resampled t-test; ``mean`` and its error are in units of the score."""

    mean: float
    standard_error: float
    t: float
    degrees_of_freedom: int
    p_value: float  # two-sided


@dataclass(frozen=True)
class Vuong:
    """Vuong's test; a positive ``statistic`` speaks for the first model."""

    mean: float  # log-likelihood ratio a cluster, in nats, after the correction
    statistic: float
    n_clusters: int
    p_value: float  # two-sided


def corrected_resampled_t(differences: FloatArray, n_train: float, n_test: float) -> ResampledT:
    """Test whether two models' cross-validated scores differ, by repeated folds.

    Training sets of different folds overlap, so the J differences are correlated and their variance
    is (1 / J + n_test / n_train) s^2, not s^2 / J (Nadeau & Bengio 2003, Machine Learning 52).

    Parameters
    ----------
    differences
        Score of one model minus that of the other on the same test fold, for J = repeats x folds
        folds, any shape.
    n_train, n_test
        Lineages (not rows) on either side of a split; means over the folds if they differ.

    Raises
    ------
    ValueError
        With fewer than two differences, one that is not finite, or no lineages on a side.
    """
    folds = _finite(differences, "differences").ravel()
    if folds.size < 2 or not (n_train > 0 and n_test > 0):
        raise ValueError(
            "expected at least 2 differences and lineages on both sides, "
            f"got {folds.size} differences, n_train = {n_train!r}, n_test = {n_test!r}"
        )
    mean = float(folds.mean())
    error = float(folds.std(ddof=1)) * math.sqrt(1 / folds.size + n_test / n_train)
    t = _studentised(mean, error)
    p_value = float(2 * stdtr(folds.size - 1, -abs(t)))
    return ResampledT(mean, error, t, folds.size - 1, p_value)


def holm(p_values: FloatArray) -> FloatArray:
    """Adjust p-values for the family-wise error (Holm 1979, Scand. J. Stat. 6).

    Parameters
    ----------
    p_values
        Shape ``(m,)``; NaN is a comparison that could not be made and does not count.

    Returns
    -------
    Adjusted p-values in the order given, shape ``(m,)``, NaN where they were.

    Raises
    ------
    ValueError
        If a p-value lies outside [0, 1].
    """
    adjusted = np.array(p_values, dtype=np.float64)
    defined = ~np.isnan(adjusted)
    if np.any((adjusted[defined] < 0) | (adjusted[defined] > 1)):
        raise ValueError(f"p-values must lie in [0, 1], got {adjusted[defined].tolist()}")
    if defined.any():
        adjusted[defined] = multipletests(adjusted[defined], method="holm")[1]
    return adjusted


def vuong(
    log_density_a: FloatArray,
    log_density_b: FloatArray,
    cluster: Labels,
    *,
    n_params: tuple[int, int] | None = None,
) -> Vuong:
    """Test whether one of two non-nested models is closer to the truth.

    The log-likelihood ratio is summed by cluster and referred to the normal distribution by its
    spread over the clusters. Vuong 1989, Econometrica 57, Theorem 5.1; the correction is the one of
    his Sec. 5 that corresponds to Schwarz's criterion.

    Parameters
    ----------
    log_density_a, log_density_b
        Log density of each row's target under either model, in nats and of the same variable
        (epochs, say), shape ``(n,)``. Times `folds.run_weights`, every run weighs the same.
    cluster
        Run or lineage of each row, shape ``(n,)``.
    n_params
        Parameters of either model: takes (k_a - k_b) / 2 log(clusters) off the ratio. None for
        densities of rows that the models were not fitted on.

    Raises
    ------
    ValueError
        With a log density that is not finite, or fewer than two clusters.
    """
    ratio = _finite(log_density_a, "log densities") - _finite(log_density_b, "log densities")
    names, code = np.unique(cluster, return_inverse=True)
    if names.size < 2:
        raise ValueError(f"expected at least 2 clusters, got {names.size}")
    by_cluster = np.bincount(code, weights=ratio)
    k_a, k_b = n_params or (0, 0)
    mean = float(by_cluster.mean()) - (k_a - k_b) / 2 * math.log(names.size) / names.size
    statistic = _studentised(mean, float(by_cluster.std()) / math.sqrt(names.size))
    return Vuong(mean, statistic, names.size, float(2 * ndtr(-abs(statistic))))


def _minus_log1p(remaining: FloatArray) -> FloatArray:
    return np.asarray(-np.log1p(remaining))


def _zeros(remaining: FloatArray) -> FloatArray:
    return np.zeros(np.shape(remaining))


#: log |du / dR| of each scale of `scales.SCALES`, u(R) being its forward map: what a density of u
#: gains when it is read as a density of the epochs remaining R. The epochs elapsed drop out.
LOG_JACOBIANS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "epochs": _zeros,
    "log": _minus_log1p,
    "log_ratio": _minus_log1p,
}


def gaussian_log_density(
    actual: FloatArray,
    predicted: FloatArray,
    *,
    scale: FloatArray | float,
    log_jacobian: FloatArray | float = 0.0,
) -> FloatArray:
    """Log density of the target in epochs, for a model whose residuals are Gaussian on its scale.

    log N(u; u_hat, scale^2) + log |du / dR|: with the Jacobian, models that are fitted on different
    scales speak of the same variable and can be compared (Box & Cox 1964, JRSS B 26, Sec. 3).

    Parameters
    ----------
    actual, predicted
        Target and prediction on the scale of the model, shape ``(n,)``.
    scale
        Standard deviation of the residuals on that scale, above 0, a number or shape ``(n,)``.
    log_jacobian
        ``LOG_JACOBIANS[name](remaining)``, shape ``(n,)``; 0 for a model in epochs.

    Returns
    -------
    Log densities in nats, shape ``(n,)``.

    Raises
    ------
    ValueError
        If ``scale`` is not above 0.
    """
    if not np.all(np.asarray(scale) > 0):
        raise ValueError(f"scale must be above 0, got {scale!r}")
    return np.asarray(norm.logpdf(actual, predicted, scale) + log_jacobian)


def _finite(values: FloatArray, what: str) -> FloatArray:
    checked = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(checked)):
        n_bad = int(np.sum(~np.isfinite(checked)))
        raise ValueError(f"{what} must be finite, {n_bad} of {checked.size} are not")
    return checked


def _studentised(mean: float, error: float) -> float:
    """Return mean / error; models that never differ have 0, ones that differ always alike inf."""
    if error > 0:
        return mean / error
    return math.copysign(math.inf, mean) if mean else 0.0
