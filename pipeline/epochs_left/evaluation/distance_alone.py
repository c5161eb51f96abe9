"""What distances alone explain (seed 000's hypothesis), and what each kind of feature does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import (
    FOLDS,
    group_features,
    known_features,
    log_r2,
    measured_rows,
    out_of_fold,
    view_features,
)
from epochs_left.schema import View

#: Groups of features by what they look at.
FEATURE_SETS: Mapping[str, Sequence[str]] = {
    "distance to the end": ("oracle_distances", "oracle_differences"),
    "distance from the start": ("distance_from_start",),
    "distance in function space": ("function_distance", "function_distance_to_final"),
    "gradient alignment": ("oracle_alignment", "oracle_heading"),
    "gradient": ("gradient_norm", "state_gradient"),
    "loss curve": (
        "curve_shape",
        "loss_level",
        "loss_limit",
        "loss_noise",
        "loss_slopes",
        "target_progress",
    ),
    "hyperparameters": (
        "batch",
        "learning_rate",
        "model_kind",
        "optimizer_settings",
        "schedule_kind",
        "weight_decay",
    ),
}
_EVERYTHING = {"everything causal": View.CAUSAL, "everything, oracle": View.ORACLE}


@result("distance_alone.json", long=True)
def distance_alone(context: FamilyContext) -> list[dict[str, Any]]:
    """Return R^2 by lineage of each kind of feature alone, hyperparameters fixed and varied.

    Seed 000 expects distances to explain 80-90 % of the variance at fixed hyperparameters. Where a
    family has both cohorts, each is fitted on its own; features that were measured at a share of
    the runs alone are fitted on those.
    """
    entries = []
    for cohort, of_cohort in _cohorts(context.study).items():
        for kind, names in _feature_sets(context, of_cohort).items():
            rows = measured_rows(context, of_cohort, names)
            if rows["lineage_id"].nunique() < FOLDS:
                continue
            predicted = out_of_fold(context, names, rows)
            score = log_r2(context, rows, predicted, "distance alone")
            entries.append({"cohort": cohort, "features": kind, "n_features": len(names), **score})
    return entries


def _cohorts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if rows["cohort"].nunique() < 2:
        return {"all": rows}
    names = {"fixed": "hyperparameters fixed", "swept": "hyperparameters varied"}
    return {
        names.get(str(cohort), str(cohort)): part.reset_index(drop=True)
        for cohort, part in rows.groupby("cohort")
    }


def _feature_sets(context: FamilyContext, rows: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    sets = {kind: group_features(context, groups) for kind, groups in FEATURE_SETS.items()}
    sets |= {kind: view_features(context, view) for kind, view in _EVERYTHING.items()}
    known = {kind: known_features(rows, names) for kind, names in sets.items()}
    return {kind: names for kind, names in known.items() if names}
