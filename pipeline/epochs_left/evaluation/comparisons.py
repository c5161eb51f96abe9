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
from epochs_left.evaluation.paired_tests import ALPHA, add_holm, fold_errors, resampled_t
from epochs_left.schema import View
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums
from epochs_left.statistics.comparisons import (
    LOG_JACOBIANS,
    gaussian_log_density,
    vuong,
)
from epochs_left.statistics.plain import entry_of, finite
from epochs_left.statistics.scales import SCALES
from epochs_left.statistics.scores import SUMS, SumStatistic, r2

Pair = tuple[int, int]


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
    errors = [fold_errors(rows, rows.predicted(key)) for key in keys]
    densities = [run_densities(context, rows, key) for key in keys]
    gains = _r2_differences(context, rows, keys, pairs)
    tests = [resampled_t(rows, errors[a] - errors[b]) for a, b in pairs]
    by_run, by_lineage = (
        [_vuong(cluster, densities[a], densities[b]) for a, b in pairs]
        for cluster in (rows.run, rows.lineage)
    )
    for family in (tests, by_run, by_lineage):
        add_holm(family)
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


def _better(test: dict[str, Any], first: str, second: str) -> str | None:
    if test["p_holm"] >= ALPHA:
        return None
    return first if test["difference"] < 0 else second
