"""Does the best model beat every baseline? One test each, corrected for their number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.evaluation import result
from epochs_left.evaluation.baselines import SIBLINGS, median_left
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.held_out import HeldOut, held_out
from epochs_left.evaluation.paired_tests import ALPHA, add_holm, fold_errors, resampled_t
from epochs_left.schema import View
from epochs_left.statistics.scores import r2


@result("beats_baselines.json")
def beats_baselines(context: FamilyContext) -> dict[str, Any]:
    """Return for each baseline whether the best causal model has the smaller error.

    The corrected resampled t-test of squared errors of log(1 + R) on the folds by lineage,
    Holm-adjusted over the baselines: the regressors among them, and the median of sibling runs that
    lasted longer. The model was chosen by its error on these folds, among all regressors.
    """
    rows = held_out(context)
    model = context.best_causal
    own = rows.predicted((model, View.CAUSAL))
    entries, tests = [], []
    for name, title, predicted in _baselines(context, rows):
        difference = fold_errors(rows, own) - fold_errors(rows, predicted)
        tests.append(resampled_t(rows, difference))
        gain = _r2(rows, own) - _r2(rows, predicted)
        entries.append({"baseline": name, "title": title, "r2_gain": gain})
    add_holm(tests)
    found = [
        {**entry, "squared_error": test, "beaten": _is_beaten(test)}
        for entry, test in zip(entries, tests, strict=True)
    ]
    return {
        "model": model,
        "title": context.spec(model).title,
        **rows.described(),
        "all_beaten": all(entry["beaten"] for entry in found),
        "baselines": found,
    }


def _is_beaten(test: dict[str, Any]) -> bool:
    return bool(test["p_holm"] < ALPHA and test["difference"] < 0)


def _r2(rows: HeldOut, predicted: FloatArray) -> float:
    return float(r2(rows.log_error_sums_of(predicted).sum(axis=0)))


def _baselines(context: FamilyContext, rows: HeldOut) -> Iterator[tuple[str, str, FloatArray]]:
    for name in context.models_of(View.CAUSAL):
        if context.spec(name).baseline:
            yield name, context.spec(name).title, rows.predicted((name, View.CAUSAL))
    for siblings in SIBLINGS:
        title = f"Median of {siblings} that lasted longer"
        yield f"median, {siblings}", title, _sibling_median(context, rows, siblings)


def _sibling_median(context: FamilyContext, rows: HeldOut, siblings: str) -> FloatArray:
    """Return what finished runs of the other folds had left, shape ``(n,)``."""
    columns = ["run_id", "task", "architecture", "optimizer"]
    of_run = context.training[columns].drop_duplicates("run_id")
    frame = rows.rows.merge(of_run, on="run_id", how="left", validate="many_to_one")
    frame = frame.assign(total=frame["epoch"] + frame["remaining"])
    fold, predicted = frame["fold"].to_numpy(), np.empty(len(frame))
    for number in np.unique(fold):
        finished = frame[fold != number].drop_duplicates("run_id")
        of_fold = frame[fold == number]
        predicted[fold == number] = median_left(
            finished, of_fold, SIBLINGS[siblings], outlasting=True
        )
    return predicted
