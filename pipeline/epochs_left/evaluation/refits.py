"""Fits that studies make themselves: fewer features, other splits, fewer runs.

All on the examples outside the locked test set, on the log scale, every run weighing the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin
from xgboost import XGBRegressor

from epochs_left.arrays import BoolArray, FloatArray
from epochs_left.evaluation.context import EvaluationContext, FamilyContext
from epochs_left.evaluation.plain import counts
from epochs_left.prediction.training import (
    Examples,
    estimator_seed,
    feature_names,
    fit_time,
    predict_remaining,
)
from epochs_left.regressors import REGRESSORS, RegressorSpec
from epochs_left.schema import View
from epochs_left.seeding import Purpose
from epochs_left.statistics.bootstrap import bootstrap_sums
from epochs_left.statistics.folds import grouped_folds, run_weights
from epochs_left.statistics.plain import entry_of
from epochs_left.statistics.scales import SCALES
from epochs_left.statistics.scores import SUMS, error_sums, r2

#: What studies fit unless they say otherwise.
REGRESSOR = "xgboost"
#: Smaller than the models that are published: a fit on some hundred runs takes a quarter of the
#: time, and R^2 by lineage (causal, 130 lineages) is .785 on perceptrons, .774 on ResNets and .982
#: on neurons, where half of the trees alone make it .779, .763 and .981. Studies compare.
SMALLER = {"n_estimators": 60, "learning_rate": 0.2, "max_depth": 5, "max_bin": 32}
FOLDS = 5


def study_spec(name: str = REGRESSOR) -> RegressorSpec:
    """Return a regressor as studies fit it: on the log of the epochs.

    Whatever scale the published model has: the log ratio to the epochs elapsed would tell a study
    of few features how many have elapsed. Measured on the neuron, distances to the end "alone"
    would explain 80 % of the variance instead of 27 %.
    """
    spec = REGRESSORS[name]
    return replace(spec, scale="log", candidates=(), build=lambda seed: _smaller(spec.build(seed)))


def _smaller(model: RegressorMixin) -> RegressorMixin:
    return model.set_params(**SMALLER) if isinstance(model, XGBRegressor) else model


def view_features(context: FamilyContext, view: View) -> tuple[str, ...]:
    """Return the features of a view that a regressor is given and that some example knows."""
    names = feature_names(context.dictionary, study_spec(), view)
    return known_features(context.training, names)


def known_features(rows: pd.DataFrame, names: Iterable[str]) -> tuple[str, ...]:
    """Return the features that at least one of the rows knows."""
    return tuple(name for name in names if np.isfinite(rows[name].to_numpy(float)).any())


def measured_rows(context: FamilyContext, rows: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the rows whose states were measured if a feature needs that, else all; a fresh index.

    A share of the lineages is measured (`featurize.probed_share`); where nothing is known of the
    others, a fit on all of them would say that the feature is worth little.
    """
    probed = {entry["name"] for entry in context.dictionary if entry["probed"]} & set(names)
    if not probed:
        return rows
    known = np.isfinite(rows[sorted(probed)].to_numpy(float)).any(axis=1)
    return rows[known].reset_index(drop=True)


def group_features(context: FamilyContext, groups: Sequence[str]) -> tuple[str, ...]:
    """Return the features of these groups, in the order of the dictionary."""
    return tuple(entry["name"] for entry in context.dictionary if entry["group"] in groups)


def examples_of_rows(rows: pd.DataFrame, names: Sequence[str]) -> Examples:
    """Return rows of examples.parquet as what a regressor is fitted on."""
    return Examples(
        names=tuple(names),
        loss_only=np.ones(len(names), dtype=np.bool_),
        X=rows[list(names)].to_numpy(np.float32),
        elapsed=rows["epoch"].to_numpy(float),
        remaining=rows["remaining"].to_numpy(float),
        observed=rows["remaining"].to_numpy(float),  # studies see converged runs alone
        converged=rows["converged"].to_numpy(),
        sampled=rows["sampled"].to_numpy(),
        run=np.unique(rows["run_id"], return_inverse=True)[1],
        lineage=np.unique(rows["lineage_id"], return_inverse=True)[1],
    )


def refit(
    context: FamilyContext,
    names: Sequence[str],
    train: pd.DataFrame,
    test: pd.DataFrame,
    spec: RegressorSpec | None = None,
) -> FloatArray:
    """Fit on the converged rows ``train`` and return the predicted epochs of ``test``."""
    spec = study_spec() if spec is None else spec
    model = fit_time(spec, examples_of_rows(train, names), context.root_seed)
    held_out = examples_of_rows(test, names)
    return predict_remaining(model, SCALES[spec.scale], held_out.X, held_out.elapsed)


def out_of_fold(
    context: FamilyContext,
    names: Sequence[str],
    rows: pd.DataFrame,
    spec: RegressorSpec | None = None,
    *,
    folds: int = FOLDS,
    unseen: BoolArray | None = None,
) -> FloatArray:
    """Return predicted epochs of ``rows`` by models that have not seen their lineage.

    Parameters
    ----------
    folds
        Number of folds, each a fit.
    unseen
        Rows that no model may see, and the only ones to predict, shape ``(n,)``; None predicts all
        rows, by models that have seen those of other lineages.

    Returns
    -------
    Shape ``(n,)``, NaN where nothing was asked.
    """
    seed = estimator_seed(context.root_seed, Purpose.FOLDS)
    splits = grouped_folds(rows["lineage_id"].to_numpy(), folds, seed)
    if unseen is not None:
        splits = [(train[~unseen[train]], test[unseen[test]]) for train, test in splits]
    splits = [(train, test) for train, test in splits if test.size]

    predicted = np.full(len(rows), np.nan)
    for train, test in splits:
        predicted[test] = refit(context, names, rows.iloc[train], rows.iloc[test], spec)
    return predicted


def left_out(
    context: FamilyContext,
    names: Sequence[str],
    rows: pd.DataFrame,
    group: BoolArray,
    folds: int = FOLDS,
) -> FloatArray:
    """Return predicted epochs of the rows of a group by models that have seen none of it.

    Nor of their lineage. Leaving out every lineage with a run in the group instead would leave
    little to train on: the runs of a lineage differ in optimizer, rate and order.
    """
    return out_of_fold(context, names, rows, folds=folds, unseen=group)[group]


def log_r2(
    context: FamilyContext | EvaluationContext,
    rows: pd.DataFrame,
    predicted: FloatArray,
    result: str,
) -> dict[str, Any]:
    """Return R^2 of log(1 + R) on the drawn rows, run-weighted, with its 95 % BCa interval.

    Parameters
    ----------
    rows
        Rows of examples.parquet of converged runs.
    predicted
        Predicted epochs, shape ``(n,)``.
    result
        Name of the result, which the bootstrap's random numbers depend on.
    """
    use = rows["sampled"].to_numpy()
    scored = rows[use]
    sums = error_sums(
        np.log1p(scored["remaining"].to_numpy(float)),
        np.log1p(predicted[use]),
        scored["lineage_id"].to_numpy(),
        run_weights(scored["run_id"].to_numpy()),
    )
    estimate = bootstrap_sums(
        sums,
        {"r2": r2},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng(result),
    )["r2"]
    return {**entry_of(estimate), **counts(scored)}


def r2_gain(
    context: FamilyContext,
    rows: pd.DataFrame,
    predicted: FloatArray,
    reference: FloatArray,
    result: str,
) -> dict[str, float | None]:
    """Return by how much R^2 is above that of ``reference``, paired, with its interval.

    Arguments as for `log_r2`; both models predict the same rows.
    """
    use = rows["sampled"].to_numpy()
    scored = rows[use]
    actual = np.log1p(scored["remaining"].to_numpy(float))
    labels = scored["lineage_id"].to_numpy(), run_weights(scored["run_id"].to_numpy())
    sums = [error_sums(actual, np.log1p(each[use]), *labels) for each in (predicted, reference)]
    n = len(SUMS)
    estimates = bootstrap_sums(
        np.concatenate(sums, axis=1),
        {"gain": lambda total: r2(total[..., :n]) - r2(total[..., n:])},
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng(result),
    )
    return entry_of(estimates["gain"])
