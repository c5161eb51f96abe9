"""What a predictor is worth where it was not trained: other optimizers, rates, tasks, models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import left_out, log_r2, out_of_fold, view_features
from epochs_left.schema import View

#: Columns of the runs; every value of one is left out in turn.
DIMENSIONS = ("optimizer", "lr_bin", "task", "architecture", "activation")
LR_BINS = 5
#: Fewer folds than other studies have: a group is left out in each, and there are some thirty.
FOLDS = 3
#: A group of fewer runs says nothing, and one of more than this share leaves too little to train.
_MIN_RUNS, _MAX_SHARE = 20, 0.8
#: Groups of a dimension that are left out, the largest: each is a fit of its own.
_MAX_GROUPS = 6


@result("transfer.json", long=True)
def transfer(context: FamilyContext) -> list[dict[str, Any]]:
    """Return R^2 on each value of each dimension of the sweep, held out and not.

    ``held_out`` has seen no run of the group, ``by_lineage`` runs of it from other lineages.
    """
    rows = with_lr_bins(context.study)
    if rows["lineage_id"].nunique() < FOLDS:
        return []
    names = view_features(context, View.CAUSAL)
    seen = out_of_fold(context, names, rows, folds=FOLDS)
    return [
        {
            "dimension": dimension,
            "group": group,
            "held_out": log_r2(context, rows[mask], unseen, "transfer"),
            "by_lineage": log_r2(context, rows[mask], seen[mask], "transfer"),
        }
        for dimension, group, mask in _groups(rows)
        for unseen in [left_out(context, names, rows, mask, FOLDS)]
    ]


def with_lr_bins(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with ``lr_bin``, the fifth of their learning rate by kind of optimizer."""
    runs = rows.drop_duplicates("run_id").set_index("run_id")
    adaptive = runs["optimizer"].isin(["rmsprop", "adam", "adamw"])
    rank = runs["lr"].groupby(adaptive).rank(pct=True)
    number = np.clip(np.ceil(rank * LR_BINS), 1, LR_BINS).astype(int)
    return rows.assign(lr_bin=[f"fifth {number[run]} of {LR_BINS}" for run in rows["run_id"]])


def _groups(rows: pd.DataFrame) -> Iterator[tuple[str, str, Any]]:
    runs = rows.drop_duplicates("run_id")
    for dimension in DIMENSIONS:
        counts = runs[dimension].value_counts()
        wanted = counts[(counts >= _MIN_RUNS) & (counts <= _MAX_SHARE * len(runs))]
        for group in sorted(wanted.index[:_MAX_GROUPS]):
            yield dimension, str(group), (rows[dimension] == group).to_numpy()
