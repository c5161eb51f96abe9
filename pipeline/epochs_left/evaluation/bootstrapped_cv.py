"""Bootstrapped cross-validation: R^2 on lineages that a resample left out.

Least-squares models are fitted again on every resample, from Gram matrices by lineage. The others
take too long for that: their out-of-fold predictions are resampled as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.evaluation.held_out import HeldOut, held_out
from epochs_left.evaluation.linear_design import independent, standardised
from epochs_left.evaluation.refits import examples_of_rows, view_features
from epochs_left.prediction.training import Examples
from epochs_left.regressors._transforms import LEAST_PENALTY
from epochs_left.schema import View
from epochs_left.statistics.bootstrap import Estimate, bootstrap_sums
from epochs_left.statistics.bootstrapped_cv import (
    lineage_resamples,
    out_of_bag_loss,
    squared_error_632_plus,
)
from epochs_left.statistics.folds import run_weights
from epochs_left.statistics.plain import entry_of, finite
from epochs_left.statistics.scales import SCALES, Scale
from epochs_left.statistics.scores import SUM_SCORES, error_sums

REFITTED = "lineages resampled, model fitted again"
CONDITIONAL = "conditional on the fits"
#: Regressors that are least squares on the features as they are.
LEAST_SQUARES = ("linear", "log_linear")
#: Resamples that are solved at a time: 4 MB of Gram matrices at 100 columns.
BLOCK = 50
#: Directions that have less of a resample's weight than this are not identified in it.
_SINGULAR = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class LeastSquares:
    """Least squares on resampled lineages.

    Attributes
    ----------
    X
        Columns of the model, the intercept first, shape ``(n, k)``.
    basis
        Makes the columns orthonormal under ``weight``: Z = X basis, shape ``(k, k)``.
    weight
        Weight of each row in a fit, shape ``(n,)``.
    lineage
        Lineage of each row, codes 0 to L - 1, shape ``(n,)``.
    """

    X: FloatArray
    basis: FloatArray
    weight: FloatArray
    lineage: IntArray

    @cached_property
    def _by_lineage(self) -> list[IntArray]:
        """Rows of each lineage."""
        order = np.argsort(self.lineage, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.lineage))[:-1])

    @cached_property
    def _grams(self) -> FloatArray:
        """Z'WZ of each lineage, shape ``(L, k * k)``."""
        Z = self.X @ self.basis
        return np.stack(
            [((Z[i] * self.weight[i, None]).T @ Z[i]).ravel() for i in self._by_lineage]
        )

    @cached_property
    def _penalty(self) -> FloatArray:
        """The smallest that the pipeline chooses from, in units of the weights, which sum to 1.

        Shape ``(k, k)`` in the basis; there is none on the intercept.
        """
        of_column = np.full(self.X.shape[1], LEAST_PENALTY / self.weight.size)
        of_column[0] = 0.0
        return np.asarray(self.basis.T @ (of_column[:, None] * self.basis))

    @cached_property
    def _ranges(self) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest value of each column in each lineage, shape ``(L, k)``."""
        parts = [self.X[rows] for rows in self._by_lineage]
        return np.stack([x.min(axis=0) for x in parts]), np.stack([x.max(axis=0) for x in parts])

    def coefficients(self, y: FloatArray, drawn: FloatArray) -> FloatArray:
        """Return the coefficients of X fitted on each resample, shape ``(b, k, m)``.

        Parameters
        ----------
        y
            Responses of m models, shape ``(n, m)``.
        drawn
            How often each lineage was drawn, shape ``(b, L)``.
        """
        k, m = self.X.shape[1], y.shape[1]
        weighted = self.weight[:, None] * y
        moments = np.stack([self.X[rows].T @ weighted[rows] for rows in self._by_lineage])
        of_resample = (drawn @ moments.reshape(-1, k * m)).reshape(-1, k, m)
        grams = (drawn @ self._grams).reshape(-1, k, k) + self._penalty
        inverse = np.linalg.pinv(grams, rcond=_SINGULAR, hermitian=True)
        return np.asarray(self.basis @ (inverse @ (self.basis.T @ of_resample)))

    def within_range(self, rows: IntArray, drawn: FloatArray) -> FloatArray:
        """Return rows of X, no value beyond those of the lineages drawn, shape ``(m, k)``.

        ``drawn``, shape ``(L,)``: how often each was. A pipeline bounds its inputs so.
        """
        low, high = self._ranges
        return np.clip(self.X[rows], low[drawn > 0].min(axis=0), high[drawn > 0].max(axis=0))


@result("bootstrapped_cv.json", long=True)
def bootstrapped_cv(context: FamilyContext) -> list[dict[str, Any]]:
    """Return R^2 of log(1 + R) under resampling of lineages, run-weighted, of every model.

    Where a model is fitted again on each resample, ``estimate`` follows from the .632+ error and
    ``out_of_bag`` from the rows that resamples left out, with an interval over lineages. Elsewhere
    it is that of the out-of-fold predictions, conditional on the fits.
    """
    rows = held_out(context)
    drawn = resampled_lineages(context, context.training["lineage_id"].nunique())
    entries = []
    for view in View:
        again = [name for name in context.models_of(view) if name in LEAST_SQUARES]
        refitted = dict(zip(again, _refitted(context, view, again, drawn), strict=True))
        for name in context.models_of(view):
            found = refitted.get(name) or _conditional(context, rows, name, view)
            entries.append({"model": name, "view": view.value, **found})
    return entries


def resampled_lineages(context: FamilyContext, n_lineages: int) -> FloatArray:
    """Return how often each lineage is in each resample, shape ``(B, n_lineages)``."""
    lineages = np.arange(n_lineages)
    resamples = lineage_resamples(
        lineages,
        np.zeros_like(lineages),
        context.settings.bootstrap_refits,
        context.rng("bootstrapped cv"),
    )
    drawn = [np.bincount(train, minlength=n_lineages) for train, _ in resamples]
    return np.array(drawn, dtype=np.float64)


def least_squares(examples: Examples) -> LeastSquares:
    """Return the least-squares model of a table of examples, weighted as `fit` weighs them.

    The outermost quantiles and the medians of the features are those of all rows.
    """
    weight = examples.weight / examples.weight.sum()
    X = standardised(examples.X, weight)
    columns = np.column_stack([np.ones(weight.size), X[:, independent(X, weight)]])
    values, vectors = np.linalg.eigh((columns * weight[:, None]).T @ columns)
    basis = vectors / np.sqrt(values)
    return LeastSquares(X=columns, basis=basis, weight=weight, lineage=examples.lineage)


def _refitted(
    context: FamilyContext, view: View, names: list[str], drawn: FloatArray
) -> list[dict[str, Any]]:
    """Return the entries of models that are fitted again, which share their Gram matrices."""
    if not names:
        return []
    examples = examples_of_rows(context.training, view_features(context, view))
    model = least_squares(examples)
    scales = [SCALES[context.spec(name).scale] for name in names]
    apparent = _apparent(examples, model, scales)
    replicates = list(_losses(examples, model, scales, drawn))
    return [
        _refitted_entry(
            context,
            examples.take(examples.sampled),
            apparent[:, i],
            [(out, loss[:, i]) for out, loss in replicates],
        )
        for i in range(len(names))
    ]


def _refitted_entry(
    context: FamilyContext,
    scored: Examples,
    apparent: FloatArray,
    replicates: Sequence[tuple[IntArray, FloatArray]],
) -> dict[str, Any]:
    actual = np.log1p(scored.remaining)
    loss = out_of_bag_loss(actual.size, replicates)
    found = squared_error_632_plus(actual, apparent, loss, scored.run)
    known = scored.take(np.isfinite(loss))
    y, error = np.log1p(known.remaining), np.sqrt(loss[np.isfinite(loss)])
    sums = error_sums(y, y + error, known.lineage, run_weights(known.run))
    return {
        "method": REFITTED,
        **_described(known),
        "n_replicates": len(replicates),
        "estimate": finite(found.r2),
        "lower": None,
        "upper": None,
        "out_of_bag": entry_of(_bootstrapped(context, sums)["r2"]),
        "mse": asdict(found.estimate),
    }


def _targets(examples: Examples, scales: Sequence[Scale]) -> FloatArray:
    """Return what each model is fitted to, shape ``(n, m)``."""
    columns = [scale.forward(examples.remaining, examples.elapsed) for scale in scales]
    return np.stack(columns, axis=1)


def _log_epochs(values: FloatArray, elapsed: FloatArray, scales: Sequence[Scale]) -> FloatArray:
    """Return log(1 + R) of fitted values on the models' scales, shape ``(n, m)`` both."""
    columns = [scale.inverse(v, elapsed) for scale, v in zip(scales, values.T, strict=True)]
    return np.log1p(np.stack(columns, axis=1))


def _apparent(examples: Examples, model: LeastSquares, scales: Sequence[Scale]) -> FloatArray:
    """Return log(1 + R) of the drawn rows as fits on all lineages predict it, shape ``(n, m)``."""
    everybody = np.ones((1, model.lineage.max() + 1))
    (fit,) = model.coefficients(_targets(examples, scales), everybody)
    use = examples.sampled
    return _log_epochs(model.X[use] @ fit, examples.elapsed[use], scales)


def _losses(
    examples: Examples, model: LeastSquares, scales: Sequence[Scale], drawn: FloatArray
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield which drawn rows each resample left out, and the models' squared errors, ``(n, m)``."""
    targets = _targets(examples, scales)
    actual = np.log1p(examples.remaining)
    scored = np.flatnonzero(examples.sampled)
    for start in range(0, len(drawn), BLOCK):
        block = drawn[start : start + BLOCK]
        for counts, fit in zip(block, model.coefficients(targets, block), strict=True):
            out = np.flatnonzero(counts[model.lineage[scored]] == 0)
            rows = scored[out]
            values = model.within_range(rows, counts) @ fit
            predicted = _log_epochs(values, examples.elapsed[rows], scales)
            yield out, (predicted - actual[rows, None]) ** 2


def _described(examples: Examples) -> dict[str, Any]:
    return {
        "split": "out of bag",
        "scale": "log",
        "weighting": "run",
        "n_rows": examples.run.size,
        "n_runs": np.unique(examples.run).size,
        "n_lineages": np.unique(examples.lineage).size,
    }


def _conditional(context: FamilyContext, rows: HeldOut, name: str, view: View) -> dict[str, Any]:
    estimates = _bootstrapped(context, rows.log_error_sums((name, view)))
    return {
        "method": CONDITIONAL,
        **rows.described(),
        "n_replicates": context.settings.bootstrap_replicates,
        **entry_of(estimates["r2"]),
        "mse": entry_of(estimates["mse"]),
        "mae": entry_of(estimates["mae"]),
    }


def _bootstrapped(context: FamilyContext, sums: FloatArray) -> dict[str, Estimate]:
    return bootstrap_sums(
        sums,
        SUM_SCORES,
        n_replicates=context.settings.bootstrap_replicates,
        rng=context.rng("bootstrapped cv"),
    )
