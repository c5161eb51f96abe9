"""The predictors for all families on the locked test set: the figures of their model card."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import FloatArray
from epochs_left.evaluation import ALL, result
from epochs_left.evaluation.context import LEVEL, EvaluationContext
from epochs_left.evaluation.plain import counts
from epochs_left.evaluation.pooled import scores_of
from epochs_left.prediction.plateaus import PLAN_FEATURES, RATES
from epochs_left.prediction.predictor import Predictor
from epochs_left.prediction.training import ALL_INPUTS, AVAILABILITIES, LOSS_ONLY
from epochs_left.schema import TargetKind
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scores import covered, log_width, mean, mean_sums
from epochs_left.storage.bundle_choice import PLATEAU, THRESHOLD


@result("pooled_locked.json", of=ALL, long=True)
def pooled_locked(context: EvaluationContext) -> list[dict[str, Any]]:
    """Return R^2, error, AUC, coverage and width on lineages that no part of the fit has seen.

    A row a family, kind of target and availability of the inputs; every run weighs the same.
    """
    entries = []
    for family, of_family in context.families.items():
        every = of_family.every_example
        locked = every[every["locked"]].reset_index(drop=True)
        for kind, rows in locked.groupby("target_kind"):
            predictor = context.pooled_predictors.get(_goal_of(str(kind)))
            if predictor is None:
                continue
            for availability in _AVAILABILITIES[_goal_of(str(kind))]:
                predicted = _predicted(predictor, rows.reset_index(drop=True), availability)
                named = {"family": family, "target_kind": kind, "availability": availability}
                entries.append({**named, **_scores(context, predicted)})
    return entries


#: What rows are answered from; of plateaus also without the schedule ahead.
_AVAILABILITIES = {THRESHOLD: AVAILABILITIES, PLATEAU: (ALL_INPUTS, RATES, LOSS_ONLY)}


def _goal_of(target_kind: str) -> str:
    return PLATEAU if target_kind == TargetKind.PLATEAU.value else THRESHOLD


def _predicted(predictor: Predictor, rows: pd.DataFrame, availability: str) -> pd.DataFrame:
    """Return the rows with predictions, as if they were like the training data."""
    complete = np.full(len(rows), availability != LOSS_ONLY)
    features = rows[list(predictor.manifest.features)]
    if availability == RATES:
        features = features.assign(**dict.fromkeys(PLAN_FEATURES & set(features), np.nan))
    X = features.to_numpy(np.float32)
    elapsed = rows["epoch"].to_numpy(float)
    ahead = rows["max_epochs"].to_numpy(float) - elapsed
    forecast = predictor.forecast(X, elapsed, complete, np.zeros(len(rows), np.bool_), ahead)
    return rows.assign(
        predicted=forecast.remaining,
        p_converges=forecast.p_converges,
        lower=forecast.lower,
        upper=forecast.upper,
    )


def _scores(context: EvaluationContext, rows: pd.DataFrame) -> dict[str, Any]:
    scored = rows[rows["sampled"] & rows["converged"]]
    actual = scored["remaining"].to_numpy(float)
    bounds = (scored[name].to_numpy(float) for name in ("lower", "upper"))
    lower, upper = bounds
    return {
        **scores_of(context, rows),
        "level": LEVEL,
        "coverage": _mean(context, scored, covered(actual, lower, upper)),
        "log_width": _mean(context, scored, log_width(lower, upper)),
    }


def _mean(context: EvaluationContext, rows: pd.DataFrame, values: FloatArray) -> dict[str, Any]:
    """Return the run-weighted mean with its 95 % BCa interval over lineages."""
    if rows.empty:
        return {"estimate": None, "lower": None, "upper": None, **counts(rows)}
    sums = mean_sums(
        values, rows["lineage_id"].to_numpy(str), run_weights(rows["run_id"].to_numpy(str))
    )
    estimate = bootstrap_sums(
        sums,
        {"mean": mean},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("pooled locked"),
    )["mean"]
    return {**entry_of(estimate), **counts(rows)}
