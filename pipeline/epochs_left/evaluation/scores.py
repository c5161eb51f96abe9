"""R^2, MSE, MAE, median relative error, coverage and width of every model, split by split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import SCOPE_COLUMNS, FamilyContext, ModelKey, scopes
from epochs_left.evaluation.plain import counts, entry_of
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums, bootstrap_weights
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.scores import (
    SUM_SCORES,
    SUMS,
    SumStatistic,
    cluster_codes,
    covered,
    error_sums,
    log_width,
    mean,
    mean_sums,
    relative_error,
    weighted_median,
)

Entry = dict[str, Any]

#: Central interval levels at which coverage is measured.
LEVELS = (0.5, 0.8, 0.9)
_HEADLINE_DECIMALS = 6
_NOMINAL = 0.9

_N_SUMS = len(SUMS)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows of one split with every model's predictions, aligned.

    Attributes
    ----------
    split
        ``"by lineage"``, ``"row-wise"`` or ``"locked test"``.
    rows
        run_id, lineage_id, remaining and what `context.scopes` needs.
    predicted
        Epochs remaining by model, shape ``(n,)``.
    """

    split: str
    rows: pd.DataFrame
    predicted: Mapping[ModelKey, FloatArray]


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a figure says: of which rows, on which scale, with which weights."""

    scope: str
    scale: str
    weighting: str
    metric: str
    level: float | None = None


@result("scores.json", long=True)
def scores(context: FamilyContext) -> list[Entry]:
    """Return every model's scores with 95 % BCa intervals over lineages."""
    entries = [
        entry
        for scored in _splits(context)
        for scope, mask in scopes(context.family, scored.rows).items()
        if mask.any()
        for entry in _split_entries(context, _restricted(scored, mask), scope)
    ]
    return [*entries, *_interval_entries(context)]


def headline(entries: Sequence[Entry]) -> dict[str, dict[str, float]]:
    """Return R^2 of log epochs by split, and coverage by scope, run-weighted: ``dvc metrics``.

    Rounded, since the file is tracked and another processor's linear algebra differs in the last
    digits.
    """
    wanted = {"scope": "all", "scale": "log", "weighting": "run", "metric": "r2"}
    figures: dict[str, dict[str, float]] = {}
    for entry in entries:
        if all(entry[key] == value for key, value in wanted.items()):
            name = f"{entry['model']}-{entry['view']}"
            figures.setdefault(entry["split"], {})[name] = round(
                entry["estimate"], _HEADLINE_DECIMALS
            )
    for entry in entries:
        if (
            entry["metric"] == "coverage"
            and entry["level"] == _NOMINAL
            and entry["view"] == "causal"
        ):
            figures.setdefault(f"coverage of {_NOMINAL:.0%} intervals, {entry['scope']}", {})[
                f"{entry['model']}-causal"
            ] = round(entry["estimate"], _HEADLINE_DECIMALS)
    return figures


def _splits(context: FamilyContext) -> Iterator[Scored]:
    settings = ["run_id", *SCOPE_COLUMNS]
    of_run = context.examples[settings].drop_duplicates("run_id")
    for split, rows in context.out_of_fold.groupby("split"):
        joined = rows.merge(of_run, on="run_id", how="left", validate="many_to_one")
        predicted = {
            key: joined[f"{key[0]}-{key[1].value}"].to_numpy(float) for key in context.models
        }
        yield Scored(split=str(split), rows=joined, predicted=predicted)
    use = locked_rows(context)
    yield Scored(
        split="locked test",
        rows=context.locked[use],
        predicted={key: context.forecasts[key].remaining[use] for key in context.models},
    )


def locked_rows(context: FamilyContext) -> BoolArray:
    """Return the mask of the locked rows that are scored: drawn, of runs that converged."""
    mask: BoolArray = (context.locked["sampled"] & context.locked["converged"]).to_numpy()
    return mask


def _restricted(scored: Scored, mask: BoolArray) -> Scored:
    return Scored(
        split=scored.split,
        rows=scored.rows[mask],
        predicted={key: values[mask] for key, values in scored.predicted.items()},
    )


def _split_entries(context: FamilyContext, scored: Scored, scope: str) -> list[Entry]:
    """Score all models on one split and scope from the same bootstrap replicates."""
    actual = scored.rows["remaining"].to_numpy(float)
    lineage = cluster_codes(scored.rows["lineage_id"].to_numpy(str))
    weights = _weightings(scored.rows)
    labels = [
        (key, scale, weighting)
        for key in context.models
        for scale in _SCALES
        for weighting in weights
    ]
    sums = [
        error_sums(
            _SCALES[scale](actual),
            _SCALES[scale](scored.predicted[key]),
            lineage,
            weights[weighting],
        )
        for key, scale, weighting in labels
    ]
    statistics = {
        f"{position} {metric}": _at(position, statistic, _N_SUMS)
        for position in range(len(labels))
        for metric, statistic in SUM_SCORES.items()
    }
    estimates = bootstrap_sums(
        np.concatenate(sums, axis=1),
        statistics,
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("scores"),
    )
    entries = []
    for name, estimate in estimates.items():
        position, metric = name.split()
        key, scale, weighting = labels[int(position)]
        what = Score(scope=scope, scale=scale, weighting=weighting, metric=metric)
        entries.append(_entry(context, scored, key, what, estimate))
    return [*entries, *_median_entries(context, scored, scope, actual, weights["run"])]


def _identity(values: FloatArray) -> FloatArray:
    return values


_SCALES: Mapping[str, Callable[[FloatArray], FloatArray]] = {"epochs": _identity, "log": np.log1p}


def _weightings(rows: pd.DataFrame) -> dict[str, FloatArray]:
    return {"run": run_weights(rows["run_id"].to_numpy()), "row": np.ones(len(rows))}


def _at(position: int, statistic: SumStatistic, width: int) -> SumStatistic:
    """Apply a statistic to its own columns of the sums of all models, ``width`` each."""
    columns = slice(position * width, (position + 1) * width)
    return lambda sums: statistic(sums[..., columns])


def _median_entries(
    context: FamilyContext, scored: Scored, scope: str, actual: FloatArray, weight: FloatArray
) -> Iterator[Entry]:
    """Median relative error; an interval on the whole locked test alone, since it takes seconds."""
    for key in context.models:
        errors = relative_error(actual, scored.predicted[key])
        if scored.split == "locked test" and scope == "all":
            estimate = bootstrap_weights(
                partial(weighted_median, errors),
                scored.rows["lineage_id"].to_numpy(),
                weight=weight,
                n_replicates=context.settings.bootstrap_replicates,
                rng=context.rng("medians"),
            )
        else:
            estimate = Estimate(float(weighted_median(errors, weight)), None)
        what = Score(scope=scope, scale="epochs", weighting="run", metric="median_relative_error")
        yield _entry(context, scored, key, what, estimate)


def _interval_entries(context: FamilyContext) -> Iterator[Entry]:
    """Coverage and width of the intervals on the locked test set, scope by scope.

    An interval that is right on average can be wrong in every part.
    """
    rows = context.locked[locked_rows(context)]
    values = _interval_values(context, rows)
    for scope, mask in scopes(context.family, rows).items():
        if mask.any():
            of_scope = {label: found[mask] for label, found in values.items()}
            yield from _scope_intervals(context, rows[mask], of_scope, scope)


_IntervalLabel = tuple[ModelKey, float, str]


def _interval_values(
    context: FamilyContext, rows: pd.DataFrame
) -> dict[_IntervalLabel, FloatArray]:
    """Return whether each row is covered, and its width, by model and level."""
    use = locked_rows(context)
    actual = rows["remaining"].to_numpy(float)
    everything = np.ones(len(rows), dtype=np.bool_)
    values: dict[_IntervalLabel, FloatArray] = {}
    for key in context.models:
        predictor, predicted = context.predictors[key], context.forecasts[key].remaining[use]
        spread = predictor.spread(context.features(key, rows), everything)
        for level in LEVELS:
            lower, upper = predictor.at_level(level).interval(
                predicted, spread, everything, ~everything
            )
            values[key, level, "coverage"] = covered(actual, lower, upper)
            values[key, level, "width"] = log_width(lower, upper)
    return values


def _scope_intervals(
    context: FamilyContext,
    rows: pd.DataFrame,
    values: Mapping[_IntervalLabel, FloatArray],
    scope: str,
) -> Iterator[Entry]:
    """Score the intervals of all models from the same bootstrap replicates."""
    lineage = cluster_codes(rows["lineage_id"].to_numpy(str))
    weight = _weightings(rows)["run"]
    sums = [mean_sums(found, lineage, weight) for found in values.values()]
    estimates = bootstrap_sums(
        np.concatenate(sums, axis=1),
        {str(i): _at(i, mean, sums[i].shape[1]) for i in range(len(sums))},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("intervals"),
    )
    scored = Scored(split="locked test", rows=rows, predicted={})
    for i, (key, level, metric) in enumerate(values):
        what = Score(scope=scope, scale="log", weighting="run", metric=metric, level=level)
        yield _entry(context, scored, key, what, estimates[str(i)])


def _entry(
    context: FamilyContext, scored: Scored, key: ModelKey, what: Score, estimate: Estimate
) -> Entry:
    spec = context.spec(key[0])
    return {
        "model": key[0],
        "title": spec.title,
        "view": key[1].value,
        "baseline": spec.baseline,
        "split": scored.split,
        **asdict(what),
        **entry_of(estimate),
        **counts(scored.rows),
    }
