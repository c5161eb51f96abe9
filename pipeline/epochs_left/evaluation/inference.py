"""Coefficients of the log-linear model and tests of its feature groups, lineages as clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.linear_design import independent, standardised
from epochs_left.evaluation.plain import counts
from epochs_left.evaluation.refits import view_features
from epochs_left.schema import View
from epochs_left.statistics.comparisons import holm
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.linear_inference import (
    ClusterCovariance,
    LeastSquaresFit,
    cluster_covariance,
    cluster_wald,
    coefficients,
    least_squares,
    likelihood_ratio,
)
from epochs_left.statistics.plain import finite

#: Level of the tests, family-wise over the groups of a view.
ALPHA = 0.05
#: Fewer lineages a column make robust errors too small. Of a useless feature of the lineages, on
#: the neuron's 64 columns, a nominal 5 % test rejected 5 % at 6.6 a column, 8 % at 4.4, 9 % at 2.8
#: and 11 % at 1.3; of six such features together 7, 7, 15 and 21 %.
LINEAGES_PER_COLUMN = 4
#: A coefficient that rests on fewer lineages (`effective_lineages`) has no robust error: of two
#: useless features that are 0 but in one lineage each, the test said F = 6415.
EFFECTIVE_LINEAGES = 10
_KEYS = ("coefficients", "tests", "dropped")
_NUMBERS = ("estimate", "standard_error", "lower", "upper")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Model:
    """The linear model of one view.

    Attributes
    ----------
    names
        Names of the columns after the intercept, length k - 1.
    groups
        Feature group of each of them.
    dropped
        Names of the features that the columns before them imply.
    X, y, weight, lineage
        Columns with the intercept first, shape ``(n, k)``, log(1 + R), weights and codes ``(n,)``.
    described
        What every figure names.
    """

    names: Sequence[str]
    groups: Sequence[str]
    dropped: Sequence[str]
    X: FloatArray
    y: FloatArray
    weight: FloatArray
    lineage: IntArray
    described: dict[str, Any]

    @property
    def note(self) -> str | None:
        """Why nothing can be tested, None if it can."""
        n_lineages, n_columns = self.described["n_lineages"], self.X.shape[1]
        if n_lineages >= LINEAGES_PER_COLUMN * n_columns:
            return None
        return f"{n_lineages} lineages are too few for {n_columns} columns"

    @cached_property
    def fit(self) -> LeastSquaresFit:
        """The fit that all groups are tested on."""
        return least_squares(self.X, self.y, self.weight)

    @cached_property
    def covariance(self) -> ClusterCovariance:
        """Covariance of its coefficients, lineages as clusters."""
        return cluster_covariance(self.fit, self.lineage)

    @cached_property
    def effective_lineages(self) -> FloatArray:
        """On how many lineages each coefficient rests, shape ``(k,)``.

        (sum_g s_g)^2 / sum_g s_g^2, s_g being what lineage g adds to the sum of squares of the
        column that the others do not explain; as many as there are if each adds the same. In the
        spirit of Carter, Schnepel & Steigerwald 2017, Rev. Econ. Stat. 99.
        """
        gram = (self.X * self.weight[:, None]).T @ self.X
        squares = self.weight[:, None] * (self.X @ np.linalg.inv(gram)) ** 2
        rows = np.argsort(self.lineage, kind="stable")
        starts = np.searchsorted(self.lineage[rows], np.arange(self.lineage.max() + 1))
        by_lineage = np.add.reduceat(squares[rows], starts)
        return np.asarray(by_lineage.sum(axis=0) ** 2 / np.sum(by_lineage**2, axis=0))


@result("inference.json")
def inference(context: FamilyContext) -> dict[str, list[dict[str, Any]]]:
    """Return what the log-linear model says of each feature, in both views, and of each group.

    log(1 + R) on standardised features, least squares, every run weighing the same. Intervals are
    cluster-robust, as is the Wald test that decides whether a group counts (``counts``: its
    p-value, Holm-adjusted over the groups of the view, is below 5 %). The likelihood-ratio test
    takes rows as independent and rejects far too often. With too few lineages for the columns
    there are no coefficients, and a ``note`` in place of the tests; a coefficient that rests on few
    of them has no interval.
    """
    found: dict[str, list[dict[str, Any]]] = {key: [] for key in _KEYS}
    for view in View:
        model = _model(context, view)
        label = {"view": view.value, **model.described}
        found["dropped"] += [{**label, "feature": name} for name in model.dropped]
        found["coefficients"] += [{**label, **entry} for entry in _coefficients(model)]
        found["tests"] += [{**label, **entry} for entry in _tests(model)]
    return found


def _model(context: FamilyContext, view: View) -> _Model:
    rows = context.training[context.training["sampled"]]
    names = np.array(view_features(context, view))
    weight = run_weights(rows["run_id"].to_numpy(str))
    X = standardised(rows[names].to_numpy(np.float32), weight)
    kept = independent(X, weight)
    group_of = {entry["name"]: entry["group"] for entry in context.dictionary}
    return _Model(
        names=names[kept].tolist(),
        groups=[group_of[name] for name in names[kept]],
        dropped=names[~kept].tolist(),
        X=np.column_stack([np.ones(len(rows)), X[:, kept]]),
        y=np.log1p(rows["remaining"].to_numpy(np.float64)),
        weight=weight,
        lineage=np.unique(rows["lineage_id"].to_numpy(str), return_inverse=True)[1],
        described=_described(rows),
    )


def _described(rows: pd.DataFrame) -> dict[str, Any]:
    return {"split": "in sample", "scale": "log", "weighting": "run", **counts(rows)}


def _coefficients(model: _Model) -> list[dict[str, Any]]:
    """Return the change of log(1 + R) for one standard deviation of each feature."""
    if model.note:
        return []
    found = coefficients(model.fit, model.covariance)
    entries = []
    for i, name in enumerate(("(intercept)", *model.names)):
        rests_on = float(model.effective_lineages[i])
        entry: dict[str, float | None] = {key: float(getattr(found, key)[i]) for key in _NUMBERS}
        if rests_on < EFFECTIVE_LINEAGES:
            entry |= dict.fromkeys(_NUMBERS[1:])
        group = model.groups[i - 1] if i else None
        entries.append({"feature": name, "group": group, **entry, "effective_lineages": rests_on})
    return entries


def _tests(model: _Model) -> list[dict[str, Any]]:
    """Return the tests of the groups that have a column left."""
    tests = [_test(model, group) for group in sorted(set(model.groups))]
    p_values = [np.nan if test["wald"] is None else test["wald"]["p_value"] for test in tests]
    for test, p_value in zip(tests, holm(np.array(p_values)).tolist(), strict=True):
        test["p_holm"] = finite(p_value)
        test["counts"] = bool(p_value < ALPHA)
    return tests


def _test(model: _Model, group: str) -> dict[str, Any]:
    """Return Wald's test and the likelihood ratio's; ``note`` says why there is none."""
    tested = [1 + i for i, name in enumerate(model.groups) if name == group]
    entry = {"group": group, "n_columns": len(tested), "wald": None, "lr": None}
    note = model.note or _few_lineages(model, tested)
    if note:
        return {**entry, "note": note}
    wald = cluster_wald(model.fit, model.covariance, tested)
    ratio = likelihood_ratio(model.fit, tested)
    return {
        **entry,
        "wald": {
            "test": "cluster-robust Wald",
            "statistic": wald.statistic,
            "df": wald.df,
            "df_residual": wald.df_residual,
            "p_value": wald.p_value,
        },
        "lr": {
            "test": "likelihood ratio",
            "valid": "iid-only",
            "statistic": ratio.statistic,
            "df": ratio.df,
            "p_value": ratio.p_value,
        },
        "note": None,
    }


def _few_lineages(model: _Model, tested: Sequence[int]) -> str | None:
    """Name the column of a test that rests on the fewest lineages, None if they are enough."""
    least = min(tested, key=lambda i: float(model.effective_lineages[i]))
    rests_on = model.effective_lineages[least]
    if rests_on >= EFFECTIVE_LINEAGES:
        return None
    return f"{model.names[least - 1]} rests on {rests_on:.1f} lineages, too few"
