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
from epochs_left.evaluation.plain import counts
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums, bootstrap_weights
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.plain import entry_of
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
    r2,
    relative_error,
    weighted_median,
)

Entry = dict[str, Any]

#: Central interval levels at which coverage is measured.
LEVELS = (0.5, 0.8, 0.9)
_HEADLINE_DECIMALS = 6
_NOMINAL = 0.9

#: R^2 row-wise less R^2 by lineage, on the rows that both splits predict.
GAP = "r2_gap"
_BY_LINEAGE, _ROW_WISE, _LOCKED = "by lineage", "row-wise", "locked test"

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
    splits = {scored.split: scored for scored in _splits(context)}
    entries = [
        entry
        for scored in splits.values()
        for scope, mask in scopes(context.family, scored.rows).items()
        if mask.any()
        for entry in _split_entries(context, _restricted(scored, mask), scope)
    ]
    gaps = _gap_entries(context, splits[_ROW_WISE], splits[_BY_LINEAGE])
    return [*entries, *gaps, *_interval_entries(context)]


def headline(entries: Sequence[Entry]) -> dict[str, dict[str, float]]:
    """Return R^2 of log epochs by split, its gap, and coverage by scope: ``dvc metrics``.

    Run-weighted; the gap is that of the row-wise R^2 over the grouped one on the same rows.

    Rounded, since the file is tracked and another processor's linear algebra differs in the last
    digits.
    """
    wanted = {"scope": "all", "scale": "log", "weighting": "run"}
    figures: dict[str, dict[str, float]] = {}
    for entry in entries:
        if entry["metric"] in ("r2", GAP) and wanted.items() <= entry.items():
            group = "row-wise less by lineage" if entry["metric"] == GAP else entry["split"]
            name = f"{entry['model']}-{entry['view']}"
            figures.setdefault(group, {})[name] = round(entry["estimate"], _HEADLINE_DECIMALS)
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
        split=_LOCKED,
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
        if scored.split == _LOCKED and scope == "all":
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


def _gap_entries(context: FamilyContext, row_wise: Scored, grouped: Scored) -> Iterator[Entry]:
    """How much better a model looks row-wise, on the rows that both splits predict.

    Row-wise folds predict some of the rows only: R^2 of different rows would differ by chance.
    """
    row_wise, same = _on_same_rows(row_wise, grouped)
    for scope, mask in scopes(context.family, row_wise.rows).items():
        if mask.any():
            first, second = (_restricted(scored, mask) for scored in (row_wise, same))
            yield from _scope_gaps(context, first, second, scope)


def _on_same_rows(first: Scored, second: Scored) -> tuple[Scored, Scored]:
    """Return the rows that both have, in the order of the first."""
    keys = [pd.MultiIndex.from_frame(each.rows[["run_id", "epoch"]]) for each in (first, second)]
    at = keys[1].get_indexer(keys[0])
    both = at >= 0
    moved = {key: values[at[both]] for key, values in second.predicted.items()}
    aligned = Scored(split=second.split, rows=second.rows.iloc[at[both]], predicted=moved)
    return _restricted(first, both), aligned


def _scope_gaps(
    context: FamilyContext, row_wise: Scored, grouped: Scored, scope: str
) -> Iterator[Entry]:
    actual = np.log1p(row_wise.rows["remaining"].to_numpy(float))
    lineage = cluster_codes(row_wise.rows["lineage_id"].to_numpy(str))
    labels = [
        (key, *named) for key in context.models for named in _weightings(row_wise.rows).items()
    ]
    sums = [
        error_sums(actual, np.log1p(scored.predicted[key]), lineage, weight)
        for key, _, weight in labels
        for scored in (row_wise, grouped)
    ]
    estimates = bootstrap_sums(
        np.concatenate(sums, axis=1),
        {str(i): _at(i, _gap, 2 * _N_SUMS) for i in range(len(labels))},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("gaps"),
    )
    for i, (key, weighting, _) in enumerate(labels):
        what = Score(scope=scope, scale="log", weighting=weighting, metric=GAP)
        yield _entry(context, row_wise, key, what, estimates[str(i)])


def _gap(sums: FloatArray) -> FloatArray:
    """R^2 of the first `_N_SUMS` columns less that of the others."""
    return np.asarray(r2(sums[..., :_N_SUMS]) - r2(sums[..., _N_SUMS:]))


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
    scored = Scored(split=_LOCKED, rows=rows, predicted={})
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
