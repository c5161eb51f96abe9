"""A rule that a person can keep in mind, and what it costs in accuracy (seed 003 section 5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import OrthogonalMatchingPursuit
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeRegressor, export_text

from epochs_left.arrays import FloatArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.refits import (
    FOLDS,
    examples_of_rows,
    log_r2,
    out_of_fold,
    study_spec,
    view_features,
)
from epochs_left.prediction.training import fit_time
from epochs_left.regressors import RegressorSpec
from epochs_left.regressors._transforms import BoundToTraining, with_bounded_inputs
from epochs_left.schema import View

DEPTH = 3
TERMS = 3


class FewTerms(RegressorMixin, BaseEstimator):
    """Least squares on the few features that orthogonal matching pursuit picks (Pati et al. 1993).

    Parameters
    ----------
    n_terms
        Features to pick.
    """

    def __init__(self, n_terms: int = TERMS) -> None:
        self.n_terms = n_terms

    def fit(self, X: FloatArray, y: FloatArray, sample_weight: FloatArray) -> Self:
        """Fit on standardised features, shape ``(n, p)``, with row weights of shape ``(n,)``."""
        centre, level = (
            np.average(X, axis=0, weights=sample_weight),
            np.average(y, weights=sample_weight),
        )
        root = np.sqrt(sample_weight)
        pursuit = OrthogonalMatchingPursuit(
            n_nonzero_coefs=min(self.n_terms, X.shape[1]), fit_intercept=False
        )
        pursuit.fit((X - centre) * root[:, None], (y - level) * root)
        self.coef_ = pursuit.coef_
        self.intercept_ = float(level - centre @ self.coef_)
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Return predictions, shape ``(n,)``."""
        return np.asarray(X @ self.coef_ + self.intercept_)


@result("simple_rule.json")
def simple_rule(context: FamilyContext) -> dict[str, Any]:
    """Return a tree of depth 3 and a formula of three terms, with their R^2 and the best model's.

    Tree and formula choose their features anew in each fold; those shown are of the fit to all.
    """
    rows = context.study
    if rows["lineage_id"].nunique() < FOLDS:
        return {}
    names = view_features(context, View.CAUSAL)
    best = log_r2(context, rows, out_of_fold(context, names, rows), "simple rule")
    tree = log_r2(context, rows, out_of_fold(context, names, rows, _TREE), "simple rule")
    formula = log_r2(context, rows, out_of_fold(context, names, rows, _FORMULA), "simple rule")
    return {
        "best": best,
        "tree": {**tree, "text": _tree_text(context, names, rows)},
        "formula": {**formula, "terms": _coefficients(context, names, rows)},
    }


def _build_tree(random_state: int) -> Pipeline:
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=20, random_state=random_state)
    return Pipeline([("bound", BoundToTraining(tail=0.0)), ("model", tree)])


def _build_formula(random_state: int) -> Pipeline:  # noqa: ARG001 - nothing is random
    return with_bounded_inputs(FewTerms())


_TREE: RegressorSpec = replace(study_spec(), name="rule", scale="log", build=_build_tree)
_FORMULA: RegressorSpec = replace(_TREE, name="formula", build=_build_formula)


def _tree_text(context: FamilyContext, names: Sequence[str], rows: pd.DataFrame) -> str:
    model = fit_time(_TREE, examples_of_rows(rows, names), context.root_seed)
    return str(export_text(model.named_steps["model"], feature_names=list(names), decimals=3))


def _coefficients(
    context: FamilyContext, names: Sequence[str], rows: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return the formula log(1 + R) = intercept + sum of coefficient x feature, in its units."""
    model = fit_time(_FORMULA, examples_of_rows(rows, names), context.root_seed)
    scaler, linear = model.named_steps["standardise"], model.named_steps["model"]
    slopes = linear.coef_ / scaler.scale_
    intercept = float(linear.intercept_ - slopes @ scaler.mean_)
    terms = [{"term": name, "coefficient": float(slopes[i])} for i, name in enumerate(names)]
    return [
        {"term": "intercept", "coefficient": intercept},
        *(term for term in terms if term["coefficient"] != 0),
    ]
