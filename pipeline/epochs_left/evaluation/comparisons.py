"""Which of two models is better: every pair of a view, tested."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext, ModelKey
from epochs_left.evaluation.held_out import HeldOut, held_out
from epochs_left.evaluation.plain import entry_of, finite
from epochs_left.schema import View
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums
from epochs_left.statistics.comparisons import (
    LOG_JACOBIANS,
    corrected_resampled_t,
    gaussian_log_density,
    holm,
    vuong,
)
from epochs_left.statistics.scales import SCALES
from epochs_left.statistics.scores import SUMS, SumStatistic, r2

Pair = tuple[int, int]
#: Level of the tests, family-wise over the pairs of a view.
ALPHA = 0.05
_REPEATS = 1  # of the folds that `fit` makes


@result("comparisons.json")
def comparisons(context: FamilyContext) -> list[dict[str, Any]]:
    """Return for each pair of models of a view whether they differ; causal baselines are models.

    The corrected resampled t-test of the squared errors of log(1 + R) decides, Holm-adjusted over
    the pairs of the view: ``better`` names the model with the smaller error where it rejects, None
    elsewhere. Beside it the difference in R^2 and Vuong's test of the densities of R, by run and by
    lineage: runs of a lineage share their initialisation, so that by run it is too sure.
    """
    rows = held_out(context)
    return [entry for view in View for entry in _of_view(context, rows, view)]


def _of_view(context: FamilyContext, rows: HeldOut, view: View) -> list[dict[str, Any]]:
    keys = [(name, view) for name in context.models_of(view)]
    pairs = list(combinations(range(len(keys)), 2))
    errors = [fold_errors(rows, key) for key in keys]
    densities = [run_densities(context, rows, key) for key in keys]
    gains = _r2_differences(context, rows, keys, pairs)
    tests = [_resampled_t(rows, errors[a] - errors[b]) for a, b in pairs]
    by_run, by_lineage = (
        [_vuong(cluster, densities[a], densities[b]) for a, b in pairs]
        for cluster in (rows.run, rows.lineage)
    )
    for family in (tests, by_run, by_lineage):
        _adjust(family)
    return [
        {
            "view": view.value,
            "first": keys[a][0],
            "second": keys[b][0],
            **rows.described(),
            "better": _better(test, keys[a][0], keys[b][0]),
            "squared_error": test,
            "r2": entry_of(gain),
            "vuong": of_runs,
            "vuong_by_lineage": of_lineages,
        }
        for (a, b), test, gain, of_runs, of_lineages in zip(
            pairs, tests, gains, by_run, by_lineage, strict=True
        )
    ]


def fold_errors(rows: HeldOut, key: ModelKey) -> FloatArray:
    """Return the run-weighted squared error of log(1 + R) of each fold, shape ``(J,)``."""
    error = np.log1p(rows.predicted(key)) - np.log1p(rows.remaining)
    fold = rows.rows["fold"].to_numpy()
    mass = np.bincount(fold, weights=rows.weight)
    return np.asarray(np.bincount(fold, weights=rows.weight * error**2) / mass)


def run_densities(context: FamilyContext, rows: HeldOut, key: ModelKey) -> FloatArray | None:
    """Return log densities of R, times the weights of the rows, shape ``(n,)``; nats.

    Gaussian on the scale that the model is fitted on, around its prediction; the variance is that
    of the residuals of the other folds, so that nothing is known of the row. None for a model that
    is exact on all other folds: it has no density.
    """
    scale = context.spec(key[0]).scale
    elapsed, fold = rows.rows["epoch"].to_numpy(np.float64), rows.rows["fold"].to_numpy()
    actual, predicted = (
        SCALES[scale].forward(epochs, elapsed) for epochs in (rows.remaining, rows.predicted(key))
    )
    squares = np.bincount(fold, weights=rows.weight * (predicted - actual) ** 2)
    mass = np.bincount(fold, weights=rows.weight)
    deviation = np.sqrt((squares.sum() - squares) / (mass.sum() - mass))[fold]
    if not np.all(deviation > 0):
        return None
    jacobian = LOG_JACOBIANS[scale](rows.remaining)
    density = gaussian_log_density(actual, predicted, scale=deviation, log_jacobian=jacobian)
    return rows.weight * density


def _r2_differences(
    context: FamilyContext, rows: HeldOut, keys: Sequence[ModelKey], pairs: Sequence[Pair]
) -> list[Estimate]:
    """Return R^2 of the first less that of the second, all pairs from the same replicates."""
    estimates = bootstrap_sums(
        np.concatenate([rows.log_error_sums(key) for key in keys], axis=1),
        {f"{a} {b}": _difference(a, b) for a, b in pairs},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("comparisons"),
    )
    return [estimates[f"{a} {b}"] for a, b in pairs]


def _difference(a: int, b: int) -> SumStatistic:
    first, second = (slice(i * len(SUMS), (i + 1) * len(SUMS)) for i in (a, b))
    return lambda sums: r2(sums[..., first]) - r2(sums[..., second])


def _resampled_t(rows: HeldOut, differences: FloatArray) -> dict[str, Any]:
    n_lineages, n_folds = int(rows.lineage.max()) + 1, differences.size // _REPEATS
    n_test = n_lineages / n_folds
    test = corrected_resampled_t(differences, n_lineages - n_test, n_test)
    return {
        "test": "Nadeau-Bengio corrected resampled t",
        "difference": test.mean,
        "standard_error": test.standard_error,
        "t": finite(test.t),
        "degrees_of_freedom": test.degrees_of_freedom,
        "n_folds": n_folds,
        "n_repeats": _REPEATS,
        "n_differences": differences.size,
        "p_value": test.p_value,
    }


def _vuong(
    cluster: IntArray, first: FloatArray | None, second: FloatArray | None
) -> dict[str, Any] | None:
    if first is None or second is None:
        return None
    test = vuong(first, second, cluster)
    return {
        "test": "Vuong, Gaussian densities of R",
        "mean": test.mean,
        "statistic": finite(test.statistic),
        "n_clusters": test.n_clusters,
        "p_value": test.p_value,
    }


def _adjust(tests: Sequence[dict[str, Any] | None]) -> None:
    """Add Holm's adjusted p-value to each test; those that could not be made do not count."""
    made = [test for test in tests if test is not None]
    adjusted = holm(np.array([test["p_value"] for test in made]))
    for test, p_value in zip(made, adjusted.tolist(), strict=True):
        test["p_holm"] = p_value


def _better(test: dict[str, Any], first: str, second: str) -> str | None:
    if test["p_holm"] >= ALPHA:
        return None
    return first if test["difference"] < 0 else second
