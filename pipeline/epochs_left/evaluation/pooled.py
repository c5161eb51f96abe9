"""The predictors for all families: by family, kind of target, inputs, and training material."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from epochs_left.evaluation import ALL, result
from epochs_left.evaluation.context import EvaluationContext
from epochs_left.evaluation.plain import counts
from epochs_left.evaluation.refits import log_r2
from epochs_left.prediction.pool import LANDMARK
from epochs_left.statistics.bootstrap import Estimate, bootstrap_weights
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scores import (
    auc,
    relative_error,
    weighted_median,
)

_KEYS = ["family", "target_kind", "material", "availability"]


@result("pooled.json", of=ALL)
def pooled(context: EvaluationContext) -> list[dict[str, Any]]:
    """Return R^2, median relative error and AUC by lineage of the predictors for all families.

    R^2 of log(1 + R) and the error are those of rows that reach their target, AUC that of "reaches
    it by the horizon" over the runs unresolved at `LANDMARK`; every run weighs the same.
    """
    table = context.pooled
    if table is None:
        return []
    return [
        {**dict(zip(_KEYS, map(str, names), strict=True)), **scores_of(context, rows)}
        for names, rows in table.groupby(_KEYS)
    ]


def scores_of(context: EvaluationContext, rows: pd.DataFrame) -> dict[str, Any]:
    """Return R^2, median relative error and AUC of predictions of one kind."""
    drawn = rows[rows["sampled"]]
    reached = drawn[drawn["converged"]]
    return {
        "r2": _r2(context, reached),
        "median_relative_error": _median_error(reached),
        "auc": _auc(context, rows),
        **counts(drawn),
        "share_reached": float(drawn["converged"].mean()) if len(drawn) else None,
    }


def _r2(context: EvaluationContext, rows: pd.DataFrame) -> dict[str, Any]:
    if rows.empty:
        return {"estimate": None, "lower": None, "upper": None, **counts(rows)}
    return log_r2(context, rows, rows["predicted"].to_numpy(float), "pooled")


def _median_error(rows: pd.DataFrame) -> float | None:
    scored = rows[rows["remaining"] > 0]
    if scored.empty:
        return None
    errors = relative_error(
        scored["remaining"].to_numpy(float), scored["predicted"].to_numpy(float)
    )
    return float(weighted_median(errors, run_weights(scored["run_id"].to_numpy(str))))


def _auc(context: EvaluationContext, rows: pd.DataFrame) -> dict[str, float | None]:
    """Return the AUC at `LANDMARK`, one row a run: rows of a run are no fresh evidence."""
    first = rows[rows["epoch"] == LANDMARK].drop_duplicates("run_id")
    outcome = first["converged"].to_numpy()
    probability = first["p_converges"].to_numpy()
    if np.unique(outcome).size < 2:
        return entry_of(Estimate(np.nan, None))
    estimate = bootstrap_weights(
        lambda weight: auc(outcome, probability, weight),
        first["lineage_id"].to_numpy(str),
        n_replicates=min(200, context.settings.bootstrap_replicates),
        rng=context.rng("pooled"),
    )
    return entry_of(estimate)
