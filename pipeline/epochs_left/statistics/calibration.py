"""Whether probabilities and predictive distributions mean what they say.

Notation: y is what happened, p the probability of it that was predicted, q(u) the predicted
quantile of the share u, F the predicted distribution function. Scores are proper: the truth has the
smallest expected one (Gneiting & Raftery 2007, JASA 102).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from epochs_left.arrays import BoolArray, FloatArray, IntArray, Labels

#: Bins of equal count that reliability is read in.
N_BINS = 10


@dataclass(frozen=True, kw_only=True)
class BrierScore:
    """The mean of (p - y)^2, and what it is made of.

    ``score = reliability - resolution + uncertainty + within``, exactly (Murphy 1973, J. Appl.
    Meteorol. 12; Stephenson, Coelho & Jolliffe 2008, Weather Forecast. 23, for the last).

    Attributes
    ----------
    score
        In [0, 1], 0 is perfect.
    reliability
        Weighted square of (mean p - observed share) over bins; 0 when calibrated.
    resolution
        Variance of the observed share over bins: what the forecasts tell apart.
    uncertainty
        Variance of y: the score of the base rate alone.
    within
        Variance of p within bins, less twice its covariance with y there: what bins hide.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def equal_count_bins(probability: FloatArray, n_bins: int = N_BINS) -> IntArray:
    """Return the bin of each row, shape ``(n,)``, numbered from 0 by increasing probability.

    Bins hold about n / n_bins rows each. Equal probabilities share a bin, so that the order of the
    rows does not matter; there are fewer bins where many are equal.
    """
    _, inverse, n_equal = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(n_equal) - n_equal / 2
    of_value = np.minimum((middle * n_bins / max(probability.size, 1)).astype(int), n_bins - 1)
    bins: IntArray = np.unique(of_value, return_inverse=True)[1][inverse]
    return bins


def brier_score(outcome: BoolArray, probability: FloatArray, n_bins: int = N_BINS) -> BrierScore:
    """Return the Brier score of at least one row and its decomposition in bins of equal count.

    Parameters
    ----------
    outcome, probability
        What happened and the predicted probability of it, shape ``(n,)``.
    """
    y, p = outcome.astype(np.float64), np.asarray(probability, dtype=np.float64)
    bins = equal_count_bins(p, n_bins)
    size = np.bincount(bins)
    observed, predicted = (np.bincount(bins, weights=values) / size for values in (y, p))
    share = size / size.sum()
    inside = p - predicted[bins]
    return BrierScore(
        score=float(np.mean((p - y) ** 2)),
        reliability=float(share @ (predicted - observed) ** 2),
        resolution=float(share @ (observed - y.mean()) ** 2),
        uncertainty=float(y.mean() * (1 - y.mean())),
        within=float(np.mean(inside**2) - 2 * np.mean(inside * (y - observed[bins]))),
    )


def calibration_error(
    outcome: BoolArray, probability: FloatArray, n_bins: int = N_BINS
) -> tuple[float, float]:
    """Return the expected calibration error and what chance alone would make it.

    The mean over rows of |mean p - observed share| of the row's bin, in bins of equal count (Nguyen
    & O'Connor 2015, arXiv:1508.05154). It is above 0 for a perfect forecaster too: outcomes drawn
    with the predicted probabilities give sqrt(2 / pi) sigma a bin, sigma^2 = sum p (1 - p) / n^2.

    Parameters
    ----------
    outcome, probability
        What happened and the predicted probability of it, shape ``(n,)``.
    """
    p = np.asarray(probability, dtype=np.float64)
    bins = equal_count_bins(p, n_bins)
    gap = np.bincount(bins, weights=p - outcome)
    variance = np.bincount(bins, weights=p * (1 - p))
    by_chance = np.sqrt(2 / np.pi * variance)
    return float(np.abs(gap).sum() / p.size), float(by_chance.sum() / p.size)


def reliability_table(
    outcome: BoolArray, probability: FloatArray, cluster: Labels, n_bins: int = N_BINS
) -> list[dict[str, Any]]:
    """Return predicted against observed frequency in bins of equal count.

    Parameters
    ----------
    outcome, probability
        What happened and the predicted probability of it, shape ``(n,)``; one row a run.
    cluster
        Lineage of each row, shape ``(n,)``.

    Returns
    -------
    A list of ``{"predicted", "observed", "lower", "upper", "n", "n_clusters"}`` by increasing
    prediction. The bounds are Wilson's 95 % ones (Wilson 1927), which stay sensible where all or
    none converged, and where no resample differs; they count lineages, not runs, as if those of a
    lineage shared their fate, and so are too wide rather than too narrow.
    """
    bins = equal_count_bins(np.asarray(probability, dtype=np.float64), n_bins)
    return [
        _bin(outcome[rows], probability[rows], cluster[rows])
        for rows in (bins == number for number in range(bins.max(initial=-1) + 1))
    ]


def _bin(outcome: BoolArray, probability: FloatArray, cluster: Labels) -> dict[str, Any]:
    n_clusters, observed = int(np.unique(cluster).size), float(outcome.mean())
    lower, upper = proportion_confint(observed * n_clusters, n_clusters, method="wilson")
    return {
        "predicted": float(probability.mean(dtype=np.float64)),
        "observed": observed,
        "lower": max(float(lower), 0.0),
        "upper": min(float(upper), 1.0),
        "n": int(outcome.size),
        "n_clusters": n_clusters,
    }


def interval_score(
    actual: FloatArray, lower: FloatArray, upper: FloatArray, level: float
) -> FloatArray:
    """Return the width plus 2 / alpha times the distance by which the truth is missed.

    Gneiting & Raftery 2007, eq. 43, alpha = 1 - level; smaller is better, in the unit of y.

    Parameters
    ----------
    actual, lower, upper
        Truth and bounds, shape ``(n,)``; an infinite bound scores infinity.
    level
        Level of the central interval, in (0, 1) (ValueError).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    missed = np.maximum(lower - actual, 0) + np.maximum(actual - upper, 0)
    return np.asarray(upper - lower + 2 / (1 - level) * missed)


def pinball_loss(actual: FloatArray, quantile: FloatArray, share: FloatArray) -> FloatArray:
    """Return (u - 1[y < q]) (y - q), the score of the quantile q of share u; arrays broadcast.

    Koenker & Bassett 1978, Econometrica 46; in the unit of y, at least 0.
    """
    error = actual - quantile
    return np.asarray(np.maximum(share * error, (share - 1) * error))


def crps(actual: FloatArray, quantiles: FloatArray, shares: FloatArray) -> FloatArray:
    """Return the continuous ranked probability score of distributions known by quantiles.

    Twice the integral of the pinball loss over the share (Gneiting & Ranjan 2011, J. Bus. Econ.
    Stat. 29, eq. 5): each share stands for those that it is the nearest to. In the unit of y; that
    of a point is the absolute error.

    Parameters
    ----------
    actual
        Truth, shape ``(n,)``.
    quantiles
        Quantiles of each row, shape ``(n, m)``.
    shares
        Increasing shares in (0, 1), shape ``(m,)``.
    """
    edges = np.concatenate([[0.0], (shares[1:] + shares[:-1]) / 2, [1.0]])
    return np.asarray(2 * pinball_loss(actual[:, None], quantiles, shares) @ np.diff(edges))


def pit(
    actual: FloatArray, quantiles: FloatArray, shares: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of the probability integral transform F(y), each of shape ``(n,)``.

    F is linear between quantiles. The bounds differ where F jumps (equal quantiles) and beyond the
    outermost quantiles, where nothing but the share is known. Arguments as for `crps`, quantiles
    not decreasing along a row.
    """
    known = np.concatenate([[0.0], shares, [1.0]])
    inner = np.pad(quantiles, ((0, 0), (1, 1)), constant_values=((0, 0), (-np.inf, np.inf)))
    below = (inner < actual[:, None]).sum(axis=1) - 1  # the last quantile under y
    above = (inner <= actual[:, None]).sum(axis=1)  # the first one over y
    row = np.arange(actual.size)
    met = above - below > 1  # y equals one quantile or several
    left, right = inner[row, below], inner[row, above]
    with np.errstate(invalid="ignore"):
        part = (actual - left) / (right - left)
    between = known[below] + part * (known[above] - known[below])
    bounded = np.isfinite(left) & np.isfinite(right)
    low = np.where(met, known[below + 1], np.where(bounded, between, known[below]))
    high = np.where(met, known[above - 1], np.where(bounded, between, known[above]))
    return low, high


def pit_histogram(
    low: FloatArray, high: FloatArray, weight: FloatArray, n_bins: int = N_BINS
) -> FloatArray:
    """Return the share of the rows' weight in each of equal bins of F(y), shape ``(n_bins,)``.

    1 / n_bins each for a calibrated forecaster. A row whose F(y) has two bounds is spread evenly
    between them (Czado, Gneiting & Held 2009, Biometrics 65, eq. 2).

    Parameters
    ----------
    low, high
        From `pit`.
    weight
        Weight of each row, shape ``(n,)``.
    """
    edges = np.linspace(0, 1, n_bins + 1)
    width = np.maximum(high - low, 1e-12)[:, None]
    reached = np.clip((edges - low[:, None]) / width, 0, 1)
    reached[:, -1] = 1.0
    return np.asarray(weight @ np.diff(reached, axis=1) / weight.sum())
