"""Cluster bootstrap with BCa intervals, from sums or from weights.

Lineages are drawn with replacement (Davison & Hinkley 1997, Sec. 3.8: the independent unit is the
cluster). A score that follows from sums over rows needs no row again: a replicate is the vector of
how often each cluster was drawn, times the sums. Other scores take the counts as row weights.
The intervals are conditional on the fitted models: nothing is refitted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from epochs_left.arrays import FloatArray, Labels
from epochs_left.statistics.scores import SumStatistic

#: Cells of a block of counts (replicates x clusters, 8 bytes each): bounds the memory to 32 MB.
BLOCK_CELLS = 4_000_000
#: Above this share of undefined replicates (no spread, one class only) there is no interval.
MAX_UNDEFINED = 0.05

#: ``(weights of shape (b, n)) -> (b,)``
WeightStatistic = Callable[[FloatArray], FloatArray]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A score with its interval; ``interval`` is None where the data cannot give one."""

    value: float
    interval: Interval | None


def bootstrap_sums(
    sums: FloatArray,
    statistics: Mapping[str, SumStatistic],
    *,
    n_replicates: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Estimate scores that follow from sums, with BCa intervals over clusters.

    Parameters
    ----------
    sums
        Sufficient statistics by cluster, shape ``(n_clusters, n_sums)``.
    statistics
        Vectorised functions ``(..., n_sums) -> (...)`` by name; all see the same replicates.
    n_replicates
        Number of bootstrap replicates B.
    rng
        Source of the resampled counts.
    level
        Coverage of the interval, in (0, 1).
    """
    n_clusters = sums.shape[0]
    total = sums.sum(axis=0)
    replicates = np.concatenate(
        [counts @ sums for counts in _count_blocks(n_clusters, n_replicates, rng)]
    )
    left_out = total - sums  # the jackknife's sums: all clusters but one
    # A score without spread, or of no cluster at all, is NaN, which the interval knows to handle.
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            name: _estimate(
                float(statistic(total)), statistic(replicates), statistic(left_out), level
            )
            for name, statistic in statistics.items()
        }


def bootstrap_weights(
    statistic: WeightStatistic,
    cluster: Labels,
    *,
    weight: FloatArray | None = None,
    n_replicates: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> Estimate:
    """Estimate a score that takes row weights, with a BCa interval over clusters.

    For scores that are no function of sums (medians, AUC); meant for a row a run, since every
    replicate visits every row.

    Parameters
    ----------
    statistic
        Vectorised function of the weights, ``(b, n) -> (b,)``.
    cluster
        Cluster (lineage) of each row, shape ``(n,)``.
    weight
        Weight of each row, shape ``(n,)``; 1 if absent.
    n_replicates, rng, level
        As in `bootstrap_sums`.
    """
    names, code = np.unique(cluster, return_inverse=True)
    weight = np.ones(code.shape) if weight is None else weight
    block = max(1, BLOCK_CELLS // max(1, code.size))
    replicates = [
        statistic(counts[start : start + block, code] * weight)
        for counts in _count_blocks(names.size, n_replicates, rng)
        for start in range(0, counts.shape[0], block)
    ]
    left_out = [
        statistic((np.arange(start, min(start + block, names.size))[:, None] != code) * weight)
        for start in range(0, names.size, block)
    ]
    value = float(statistic(weight[None, :])[0])
    return _estimate(value, np.concatenate(replicates), np.concatenate(left_out), level)


def bca_interval(
    value: float, replicates: FloatArray, jackknife: FloatArray, level: float = 0.95
) -> Interval | None:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987, JASA 82, eqs. 6.4-6.7).

    Parameters
    ----------
    value
        The score on the data.
    replicates
        The score on each resample, shape ``(B,)``; undefined ones (NaN) are left out.
    jackknife
        The score without each cluster in turn, shape ``(n_clusters,)``.
    level
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Lower and upper bound; None with fewer than two clusters, an undefined score, or more than
    ``MAX_UNDEFINED`` undefined replicates.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    defined = replicates[np.isfinite(replicates)]
    enough = defined.size > 0 and defined.size >= (1 - MAX_UNDEFINED) * replicates.size
    if jackknife.size < 2 or not math.isfinite(value) or not enough:
        return None
    below = np.mean(defined < value) + 0.5 * np.mean(defined == value)
    smallest = 0.5 / defined.size
    bias = ndtri(np.clip(below, smallest, 1 - smallest))
    tails = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    # Where the acceleration would turn the tail round, the bound is the outermost replicate.
    shrink = np.maximum(1 - _acceleration(jackknife) * tails, 1e-12)
    lower, upper = np.quantile(defined, ndtr(bias + tails / shrink))
    return float(lower), float(upper)


def _acceleration(jackknife: FloatArray) -> float:
    defined = jackknife[np.isfinite(jackknife)]
    deviation = defined.mean() - defined if defined.size else defined
    spread = float(np.sum(deviation**2))
    return float(np.sum(deviation**3)) / (6 * spread**1.5) if spread > 0 else 0.0


def _estimate(
    value: float, replicates: FloatArray, jackknife: FloatArray, level: float
) -> Estimate:
    return Estimate(value, bca_interval(value, replicates, jackknife, level))


def _count_blocks(
    n_clusters: int, n_replicates: int, rng: np.random.Generator
) -> Iterator[FloatArray]:
    """Yield how often each cluster is drawn, arrays ``(b, n_clusters)``, b summing to B."""
    block = max(1, BLOCK_CELLS // n_clusters)
    for start in range(0, n_replicates, block):
        n_rows = min(block, n_replicates - start)
        drawn = rng.integers(n_clusters, size=(n_rows, n_clusters))
        drawn += n_clusters * np.arange(n_rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n_rows * n_clusters)
        yield counts.reshape(n_rows, n_clusters).astype(np.float64)
