"""Bootstrapped cross-validation over lineages, and the .632+ estimate of the error.

A replicate trains on lineages drawn with replacement and is tested on those that were not drawn.
The fit is the caller's: resamples go out as row indices, losses come back as arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from epochs_left.arrays import FloatArray, IntArray, Labels
from epochs_left.statistics.folds import Split, assert_disjoint, run_weights

#: Expected share of distinct lineages in a resample, 1 - 1/e as the paper rounds it.
DRAWN_SHARE = 0.632


@dataclass(frozen=True)
class Point632Plus:
    """An error estimate and what it was made of, all in units of the loss."""

    error: float
    relative_overfitting: float  # 0: none, 1: as bad as without information
    apparent: float
    out_of_bag: float
    no_information: float


@dataclass(frozen=True)
class SquaredError632Plus:
    """The .632+ squared error, R^2 = 1 - error / variance of the target, and the rows scored."""

    estimate: Point632Plus
    r2: float
    n_rows: int


def lineage_resamples(
    lineage: Labels, family: Labels, n_replicates: int, rng: np.random.Generator
) -> Iterator[Split]:
    """Yield bootstrap training rows and the rows of the lineages that were not drawn.

    Every family keeps its number of lineages. A resample that leaves no lineage out is drawn again.
    Copies of a row keep their lineage and run, so that folds inside the training rows still split
    by lineage; weights are those of the original rows, ``run_weights(run)[train]``, since
    ``run_weights(run[train])`` would take a run drawn twice for one.

    Parameters
    ----------
    lineage, family
        Lineage and workload family of each row, shape ``(n,)``.
    n_replicates
        Number of resamples B.
    rng
        Source of the draws.

    Yields
    ------
    Row indices (train, test): train in increasing order, a row as often as its lineage was drawn;
    test without repeats.

    Raises
    ------
    ValueError
        If a lineage is in two families, or no family has two lineages.
    """
    names, first, code = np.unique(lineage, return_index=True, return_inverse=True)
    if np.any(family != family[first][code]):
        raise ValueError("a lineage has rows in two families; lineages must lie within one")
    _, family_of = np.unique(family[first], return_inverse=True)
    members = [np.flatnonzero(family_of == index) for index in np.unique(family_of)]
    if max((len(of_family) for of_family in members), default=0) < 2:
        raise ValueError("expected a family with 2 lineages or more: none can be left out")
    rows = np.arange(code.size)
    for _ in range(n_replicates):
        drawn = _draw(members, names.size, rng)
        train, test = np.repeat(rows, drawn[code]), rows[drawn[code] == 0]
        assert_disjoint(code, train, test)
        yield train, test


def _draw(members: Sequence[IntArray], n_lineages: int, rng: np.random.Generator) -> IntArray:
    """How often each lineage is drawn, shape ``(n_lineages,)``, at least one of them never."""
    while True:
        picks = [
            of_family[rng.integers(len(of_family), size=len(of_family))] for of_family in members
        ]
        counts = np.bincount(np.concatenate(picks), minlength=n_lineages)
        if not counts.all():
            return counts


def out_of_bag_loss(n_rows: int, replicates: Iterable[tuple[IntArray, FloatArray]]) -> FloatArray:
    """Mean loss of each row over the replicates that left its lineage out.

    The leave-one-out bootstrap of Efron & Tibshirani 1997, JASA 92, Sec. 2, row by row.

    Parameters
    ----------
    n_rows
        Number of rows n.
    replicates
        Pairs of test rows and their losses, arrays of equal shape; consumed one by one.

    Returns
    -------
    Array of shape ``(n,)``; NaN for a row that was always drawn.
    """
    total, count = np.zeros(n_rows), np.zeros(n_rows)
    for test, loss in replicates:
        total[test] += loss
        count[test] += 1
    mean: FloatArray = np.divide(total, count, out=np.full(n_rows, np.nan), where=count > 0)
    return mean


def no_information_squared_error(
    actual: FloatArray, predicted: FloatArray, weight: FloatArray | None = None
) -> float:
    """Mean of (y_i - prediction_j)^2 over all pairs of rows: what a useless model would lose.

    The no-information error rate of Efron & Tibshirani 1997; for squared error the double sum is
    E y^2 - 2 E y E prediction + E prediction^2.

    Parameters
    ----------
    actual, predicted
        Target and apparent prediction on the scale that is scored, shape ``(n,)``.
    weight
        Weight of each row, shape ``(n,)``; 1 if absent.
    """
    mean = float(np.average(actual, weights=weight))
    y, prediction = actual - mean, predicted - mean  # so that large means do not cancel
    bias = np.average(prediction, weights=weight)
    spread = np.average(prediction**2, weights=weight) - 2 * bias * np.average(y, weights=weight)
    return float(np.average(y**2, weights=weight) + spread)


def relative_overfitting_rate(apparent: float, out_of_bag: float, no_information: float) -> float:
    """Overfitting over the most that is possible: R' of Efron & Tibshirani 1997, in [0, 1]."""
    if out_of_bag <= apparent or no_information <= apparent:
        return 0.0
    return (min(out_of_bag, no_information) - apparent) / (no_information - apparent)


def point_632_plus(apparent: float, out_of_bag: float, no_information: float) -> Point632Plus:
    """Error that weighs apparent against out-of-bag error by how much the model overfits.

    The .632 rule where it does not overfit, the out-of-bag error where it knows nothing. Efron &
    Tibshirani 1997, eq. 32.

    Parameters
    ----------
    apparent
        Mean loss of the model on the rows that it was fitted on.
    out_of_bag
        Mean of `out_of_bag_loss`.
    no_information
        Mean loss when targets and predictions are paired at random.
    """
    rate = relative_overfitting_rate(apparent, out_of_bag, no_information)
    rest = 1 - DRAWN_SHARE
    plain = rest * apparent + DRAWN_SHARE * out_of_bag
    excess = min(out_of_bag, no_information) - apparent
    error = plain + excess * rest * DRAWN_SHARE * rate / (1 - rest * rate)
    return Point632Plus(error, rate, apparent, out_of_bag, no_information)


def squared_error_632_plus(
    actual: FloatArray, apparent_prediction: FloatArray, out_of_bag: FloatArray, run: Labels
) -> SquaredError632Plus:
    """.632+ squared error and its R^2, each run weighing the same.

    Rows that were in every resample have no out-of-bag error and are left out of all three errors,
    so that these speak of the same rows.

    Parameters
    ----------
    actual, apparent_prediction
        Target and prediction of the model that was fitted on all rows, on the scale that is scored
        (log, say), shape ``(n,)``.
    out_of_bag
        Squared errors by `out_of_bag_loss`, shape ``(n,)``.
    run
        Run of each row, shape ``(n,)``.

    Raises
    ------
    ValueError
        If no row was ever out of bag.
    """
    scored = np.isfinite(out_of_bag)
    if not scored.any():
        raise ValueError("no row was ever out of bag; make more replicates")
    y, prediction, loss = actual[scored], apparent_prediction[scored], out_of_bag[scored]
    weight = run_weights(run[scored])
    estimate = point_632_plus(
        float(np.average((y - prediction) ** 2, weights=weight)),
        float(np.average(loss, weights=weight)),
        no_information_squared_error(y, prediction, weight),
    )
    variance = float(np.average((y - np.average(y, weights=weight)) ** 2, weights=weight))
    r2 = 1 - estimate.error / variance if variance > 0 else np.nan
    return SquaredError632Plus(estimate, r2, int(scored.sum()))
