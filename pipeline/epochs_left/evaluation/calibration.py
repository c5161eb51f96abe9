"""Whether the predicted distributions of the best causal models mean what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext, ModelKey, scopes
from epochs_left.evaluation.distributions import best_models, distribution, forecast_at
from epochs_left.evaluation.plain import counts
from epochs_left.evaluation.scores import LEVELS, locked_rows
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums
from epochs_left.statistics.calibration import crps, interval_score, pit, pit_histogram
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scores import covered, log_width, mean, mean_sums, weighted_median

#: The level that is looked at part by part.
HEADLINE_LEVEL = 0.9
#: Settings by which parts are formed besides those of `scopes`.
SETTINGS = ("optimizer", "activation", "architecture", "lr_schedule")
#: A part of fewer runs says nothing.
MIN_RUNS = 20


@result("calibration.json")
def calibration(context: FamilyContext) -> dict[str, list[dict[str, Any]]]:
    """Return how intervals and distributions of the best causal models fit the locked test set.

    Run-weighted, on the log(1 + R) scale, rows of runs that converge. ``intervals``: coverage,
    width and interval score by level, and part by part at `HEADLINE_LEVEL`; ``distributions``:
    CRPS and the histogram of the probability integral transform.
    """
    rows = context.locked[locked_rows(context)].reset_index(drop=True)
    if rows.empty:
        return {"intervals": [], "distributions": []}
    models = best_models(context)
    return {
        "intervals": [entry for key in models for entry in _intervals(context, key, rows)],
        "distributions": [_distribution(context, key, rows) for key in models],
    }


def parts(family: str, rows: pd.DataFrame) -> dict[str, BoolArray]:
    """Return the parts that coverage is measured in, as masks of the rows, those of enough runs."""
    found = scopes(family, rows)
    for setting in SETTINGS:
        values = rows[setting].to_numpy(str)
        named = {f"{setting} {value}": values == value for value in np.unique(values)}
        found |= named if len(named) > 1 else {}
    runs = rows["run_id"].to_numpy(str)
    return {
        name: mask
        for name, mask in found.items()
        if name == "all" or np.unique(runs[mask]).size >= MIN_RUNS
    }


def _intervals(
    context: FamilyContext, key: ModelKey, rows: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    for level in LEVELS:
        found = forecast_at(context, key, rows, level)
        for scope, mask in parts(context.family, rows).items():
            if scope == "all" or level == HEADLINE_LEVEL:
                scored = _scored(context, rows[mask], found.lower[mask], found.upper[mask], level)
                yield {**_named(context, key), "scope": scope, "level": level, **scored}


def _named(context: FamilyContext, key: ModelKey) -> dict[str, Any]:
    return {"model": key[0], "title": context.spec(key[0]).title, "view": key[1].value}


def _scored(
    context: FamilyContext, rows: pd.DataFrame, lower: FloatArray, upper: FloatArray, level: float
) -> dict[str, Any]:
    """Score intervals in epochs; widths and interval scores are undefined without finite ends."""
    actual = rows["remaining"].to_numpy(float)
    upper = np.where(np.isnan(upper), np.inf, upper)
    width = log_width(lower, upper)
    values = {
        "coverage": covered(actual, lower, upper),
        "width": width,
        "interval_score": interval_score(np.log1p(actual), np.log1p(lower), np.log1p(upper), level),
    }
    estimates = {name: _mean(context, rows, found) for name, found in values.items()}
    median = float(weighted_median(width, run_weights(rows["run_id"].to_numpy(str))))
    bounded = bool(np.isfinite(median))
    return {
        **{name: entry_of(estimate) for name, estimate in estimates.items()},
        "holds_level": _holds(estimates["coverage"], level),
        "median_width": median if bounded else None,
        "median_ratio": float(np.exp(median)) if bounded else None,
        **counts(rows),
    }


def _holds(coverage: Estimate, level: float) -> bool | None:
    """Return whether the interval of the coverage holds the level; None without an interval."""
    if coverage.interval is None:
        return None
    lower, upper = coverage.interval
    return lower <= level <= upper


def _mean(context: FamilyContext, rows: pd.DataFrame, values: FloatArray) -> Estimate:
    if not np.isfinite(values).all():
        return Estimate(np.nan, None)
    weight = run_weights(rows["run_id"].to_numpy(str))
    sums = mean_sums(values, rows["lineage_id"].to_numpy(str), weight)
    estimates = bootstrap_sums(
        sums,
        {"mean": mean},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("calibration"),
    )
    return estimates["mean"]


def _distribution(context: FamilyContext, key: ModelKey, rows: pd.DataFrame) -> dict[str, Any]:
    found = distribution(context, key, rows)
    actual = np.log1p(rows["remaining"].to_numpy(float))
    if not found.shares.size:
        return {**_named(context, key), "crps": entry_of(Estimate(np.nan, None)), "pit": None}
    quantiles = np.log1p(found.quantiles)
    low, high = pit(actual, quantiles, found.shares)
    weight = run_weights(rows["run_id"].to_numpy(str))
    return {
        **_named(context, key),
        "crps": entry_of(_mean(context, rows, crps(actual, quantiles, found.shares))),
        "pit": pit_histogram(low, high, weight).tolist(),
        **counts(rows),
    }
