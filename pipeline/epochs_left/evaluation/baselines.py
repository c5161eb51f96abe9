"""What every model must beat: the median time of sibling runs that are finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import FloatArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext, scopes
from epochs_left.evaluation.plain import counts
from epochs_left.evaluation.refits import FOLDS
from epochs_left.prediction.training import estimator_seed
from epochs_left.seeding import Purpose
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.folds import grouped_folds, run_weights
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scores import (
    SUMS,
    SumStatistic,
    error_sums,
    r2,
    relative_error,
    weighted_median,
)

#: What makes a run a sibling: other runs of the training folds with the same values.
SIBLINGS: Mapping[str, tuple[str, ...]] = {
    "all runs": (),
    "same task and architecture": ("task", "architecture"),
    "same task, architecture and optimizer": ("task", "architecture", "optimizer"),
}

#: Whether a baseline counts only the siblings that lasted longer than the row's epoch.
_LASTING = {"median T": False, "median T of those that lasted longer": True}

#: Name of a baseline, and whose median it is.
Key = tuple[str, str]


@result("baselines.json")
def baselines(context: FamilyContext) -> list[dict[str, Any]]:
    """Return R^2 and median relative error by lineage of medians of finished runs.

    ``median T`` predicts the median of the siblings' epochs less those done; ``median T of those
    that lasted longer`` knows besides that the run is not over. The best causal model is scored on
    the same rows; the regressors among the baselines are in scores.json.
    """
    rows = context.training[context.training["sampled"]].reset_index(drop=True)
    if rows["lineage_id"].nunique() < FOLDS:
        return []
    predicted = _out_of_fold(context, rows)
    predicted["best causal model", context.best_causal] = _model(context, rows)
    return [
        entry
        for scope, mask in scopes(context.family, rows).items()
        if mask.any()
        for entry in _scored(
            context, rows[mask], {key: values[mask] for key, values in predicted.items()}, scope
        )
    ]


def _out_of_fold(context: FamilyContext, rows: pd.DataFrame) -> dict[Key, FloatArray]:
    """Return each baseline's predicted epochs of ``rows`` from the runs of other folds."""
    keys = [(name, siblings) for name in _LASTING for siblings in SIBLINGS]
    predicted = {key: np.full(len(rows), np.nan) for key in keys}
    seed = estimator_seed(context.root_seed, Purpose.FOLDS)
    totals = rows.assign(total=rows["epoch"] + rows["remaining"])
    for train, test in grouped_folds(rows["lineage_id"].to_numpy(), FOLDS, seed):
        finished = totals.iloc[train].drop_duplicates("run_id")
        for (name, siblings), values in predicted.items():
            values[test] = median_left(
                finished, rows.iloc[test], SIBLINGS[siblings], outlasting=_LASTING[name]
            )
    return predicted


def median_left(
    finished: pd.DataFrame, rows: pd.DataFrame, kind: Sequence[str], *, outlasting: bool
) -> FloatArray:
    """Return the median epochs that finished runs of the same kind had left, shape ``(n,)``.

    Parameters
    ----------
    finished
        A row a run: ``total``, its epochs to convergence, and the columns of ``kind``.
    rows
        Rows to predict: ``epoch`` and the columns of ``kind``.
    kind
        Columns that siblings share; a row without any sibling takes all finished runs.
    outlasting
        Whether only runs that lasted longer than the row's epoch count; 1 epoch where none did.
        Otherwise the median of all less the epoch, at least 0.
    """
    everything = np.sort(finished["total"].to_numpy(float))
    predicted = np.empty(len(rows))
    names = list(kind)
    totals = {key: np.sort(part["total"].to_numpy(float)) for key, part in _parts(finished, names)}
    epoch = rows["epoch"].to_numpy(float)
    for key, position in _positions(rows, names):
        of_kind = totals.get(key, everything)
        predicted[position] = _left(of_kind, epoch[position], outlasting=outlasting)
    return predicted


def _parts(frame: pd.DataFrame, names: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    return iter(frame.groupby(names)) if names else iter([((), frame)])


def _positions(frame: pd.DataFrame, names: list[str]) -> Iterator[tuple[Any, Any]]:
    numbered = frame[names].assign(position=np.arange(len(frame)))
    return ((key, part["position"].to_numpy()) for key, part in _parts(numbered, names))


def _left(totals: FloatArray, epoch: FloatArray, *, outlasting: bool) -> FloatArray:
    """Return the median of ascending ``totals``, or of those above each epoch, less the epoch."""
    first = np.searchsorted(totals, epoch, side="right") if outlasting else np.zeros(epoch.size)
    size = totals.size - first
    middle = first + (size - 1) / 2
    last = totals.size - 1
    low = np.clip(np.floor(middle), 0, last).astype(np.int64)
    high = np.clip(np.ceil(middle), 0, last).astype(np.int64)
    left = np.maximum((totals[low] + totals[high]) / 2 - epoch, 0.0)
    return np.where(size > 0, left, 1.0)


def _model(context: FamilyContext, rows: pd.DataFrame) -> FloatArray:
    """Return the out-of-fold predictions by lineage of the best causal model."""
    table = context.out_of_fold[context.out_of_fold["split"] == "by lineage"]
    column = f"{context.best_causal}-causal"
    joined = rows[["run_id", "epoch"]].merge(
        table[["run_id", "epoch", column]], on=["run_id", "epoch"], how="left", validate="1:1"
    )
    predicted: FloatArray = joined[column].to_numpy(float)
    return predicted


def _scored(
    context: FamilyContext, rows: pd.DataFrame, predicted: Mapping[Key, FloatArray], scope: str
) -> Iterator[dict[str, Any]]:
    """Yield the scores of all baselines from the same bootstrap replicates."""
    actual = rows["remaining"].to_numpy(float)
    lineage, weight = rows["lineage_id"].to_numpy(), run_weights(rows["run_id"].to_numpy())
    sums = [error_sums(np.log1p(actual), np.log1p(p), lineage, weight) for p in predicted.values()]
    estimates = bootstrap_sums(
        np.concatenate(sums, axis=1),
        {str(i): _r2_of(i) for i in range(len(sums))},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("baselines"),
    )
    for i, ((name, siblings), values) in enumerate(predicted.items()):
        errors = relative_error(actual, values)
        yield {
            "baseline": name,
            "siblings": siblings,
            "scope": scope,
            "r2": entry_of(estimates[str(i)]),
            "median_relative_error": float(weighted_median(errors, weight)),
            **counts(rows),
        }


def _r2_of(position: int) -> SumStatistic:
    columns = slice(position * len(SUMS), (position + 1) * len(SUMS))
    return lambda sums: r2(sums[..., columns])
