"""Scores by decile of the remaining epochs: where in a run's life the predictions are good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext, ModelKey
from epochs_left.evaluation.held_out import HeldOut, held_out, of_rows
from epochs_left.schema import View
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.plain import entry_of, finite
from epochs_left.statistics.scores import (
    SUM_SCORES,
    SUMS,
    SumStatistic,
    error_sums,
    mse,
    relative_error,
    weighted_median,
)

N_DECILES = 10

#: Scores from sums by scale: what a figure is called, and the statistic.
_OF_SUMS: dict[str, dict[str, SumStatistic]] = {
    "log": {**SUM_SCORES, "rmse": lambda sums: np.sqrt(mse(sums))},
    "epochs": {**SUM_SCORES},
}


@result("metrics_by_decile.json")
def metrics_by_decile(context: FamilyContext) -> list[dict[str, Any]]:
    """Return scores of the best models and the baselines by decile of R, and of all rows.

    Deciles hold equal run-weighted shares of the rows; where many rows have the same R there are
    fewer. R^2 is measured against the mean of the decile, within which little varies: it may be
    far below 0. Intervals are BCa over lineages. Spearman's correlation and the C-index take one
    row a run, drawn at random, without an interval.
    """
    everything = held_out(context)
    decile = decile_of(everything.remaining, everything.weight)
    entries = list(_entries(context, everything, None))
    for number in np.unique(decile):
        part = of_rows(everything.rows[decile == number])
        entries += _entries(context, part, int(number))
    return entries


def decile_of(remaining: FloatArray, weight: FloatArray) -> IntArray:
    """Return the decile of each row, 1 to 10, shape ``(n,)``; equal values share one."""
    shares = np.arange(1, N_DECILES) / N_DECILES
    edges = np.quantile(remaining, shares, weights=weight, method="inverted_cdf")
    return np.searchsorted(edges, remaining, side="left") + 1


def concordance(actual: FloatArray, predicted: FloatArray) -> float:
    """Share of the pairs with unlike targets that the predictions order rightly; ties count 1/2.

    Harrell's C without censoring (Harrell et al. 1982, JAMA 247), by Kendall's tau, which takes
    n log n: with S concordant less discordant pairs, tau = S / sqrt(a b), a and b being the numbers
    of pairs with unlike targets and predictions; C = (1 + S / a) / 2. NaN if all targets are alike.
    """
    a, b = _unlike_pairs(actual), _unlike_pairs(predicted)
    if a == 0:
        return np.nan
    tau = kendalltau(actual, predicted).statistic if b > 0 else 0.0
    return float((1 + tau * np.sqrt(b / a)) / 2)


def _unlike_pairs(values: FloatArray) -> float:
    alike = np.unique(values, return_counts=True)[1].astype(np.float64)
    return (values.size * (values.size - 1) - float(np.sum(alike * (alike - 1)))) / 2


def _scored_models(context: FamilyContext) -> list[ModelKey]:
    """Return the best model of each view, and the baselines."""
    best = [(context.best(view), view) for view in View]
    baselines = [name for name in context.models_of(View.CAUSAL) if context.spec(name).baseline]
    return [*best, *((name, View.CAUSAL) for name in baselines)]


def _entries(context: FamilyContext, part: HeldOut, decile: int | None) -> Iterator[dict[str, Any]]:
    keys = _scored_models(context)
    one_a_run = of_rows(part.rows.iloc[_one_row_a_run(part.run, context.rng("deciles"))])
    scores = [*_sum_scores(context, part, keys), *_median_errors(part, keys)]
    scores += _rank_scores(one_a_run, keys)
    for key, rows, score in scores:
        spec = context.spec(key[0])
        yield {
            "model": key[0],
            "title": spec.title,
            "view": key[1].value,
            "baseline": spec.baseline,
            "decile": decile,
            "from": int(part.remaining.min()),
            "to": int(part.remaining.max()),
            **rows.described(),
            **score,
        }


Score = tuple[ModelKey, HeldOut, dict[str, Any]]


def _sum_scores(context: FamilyContext, part: HeldOut, keys: Sequence[ModelKey]) -> Iterator[Score]:
    """R^2, MSE and MAE on both scales, RMSE of the log, all from the same replicates."""
    labels = [(key, scale) for key in keys for scale in _OF_SUMS]
    sums = [
        part.log_error_sums(key) if scale == "log" else _epoch_error_sums(part, key)
        for key, scale in labels
    ]
    estimates = bootstrap_sums(
        np.concatenate(sums, axis=1),
        {
            f"{i} {metric}": _at(i, statistic)
            for i, (_, scale) in enumerate(labels)
            for metric, statistic in _OF_SUMS[scale].items()
        },
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("deciles"),
    )
    for name, estimate in estimates.items():
        i, metric = name.split()
        key, scale = labels[int(i)]
        yield key, part, {"scale": scale, "metric": metric, **entry_of(estimate)}


def _epoch_error_sums(part: HeldOut, key: ModelKey) -> FloatArray:
    return error_sums(part.remaining, part.predicted(key), part.lineage, part.weight)


def _at(i: int, statistic: SumStatistic) -> SumStatistic:
    """Apply a statistic to its own columns of the sums of all models."""
    columns = slice(i * len(SUMS), (i + 1) * len(SUMS))
    return lambda sums: statistic(sums[..., columns])


def _median_errors(part: HeldOut, keys: Sequence[ModelKey]) -> Iterator[Score]:
    for key in keys:
        errors = relative_error(part.remaining, part.predicted(key))
        value = float(weighted_median(errors, part.weight))
        yield key, part, _plain("epochs", "median_relative_error", value)


def _rank_scores(rows: HeldOut, keys: Sequence[ModelKey]) -> Iterator[Score]:
    for key in keys:
        predicted = rows.predicted(key)
        for metric, statistic in (("spearman", _spearman), ("c_index", concordance)):
            value = statistic(rows.remaining, predicted)
            yield key, rows, _plain("rank", metric, value)


def _plain(scale: str, metric: str, value: float) -> dict[str, Any]:
    return {
        "scale": scale,
        "metric": metric,
        "estimate": finite(value),
        "lower": None,
        "upper": None,
    }


def _spearman(actual: FloatArray, predicted: FloatArray) -> float:
    """Spearman's correlation; NaN where one of both does not vary."""
    if _unlike_pairs(actual) == 0 or _unlike_pairs(predicted) == 0:
        return np.nan
    return float(spearmanr(actual, predicted).statistic)


def _one_row_a_run(run: IntArray, rng: np.random.Generator) -> IntArray:
    """Return the index of one row of each run, each of its rows being equally likely."""
    order = rng.permutation(run.size)
    return order[np.unique(run[order], return_index=True)[1]]
