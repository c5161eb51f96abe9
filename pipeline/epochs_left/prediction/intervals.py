"""Prediction intervals of a model, from its out-of-fold residuals.

Conformalised quantile regression (Romano, Patterson & Candes 2019, arXiv:1905.03222) in its scaled
form: quantiles of the residual given the features say where a row's interval lies and how wide it
is; offsets that hold for whole lineages (`statistics.conformal`), counted in that width, give it
the coverage of its level. Each row's quantiles come from a model that has not seen its lineage, as
its prediction does, so that the offsets also pay for what the quantiles get wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import BaseEstimator

from epochs_left.arrays import BoolArray, FloatArray, IntArray, Labels
from epochs_left.prediction.training import Examples, estimator_seed
from epochs_left.regressors._fitting import fit_weighted
from epochs_left.regressors._spread import build_spread_regressor
from epochs_left.seeding import Purpose, generator
from epochs_left.statistics.conformal import centre_and_half_width, conformal_offsets
from epochs_left.statistics.folds import run_weights
from epochs_left.storage.manifests import ResidualQuantiles

#: Rows of whole lineages that the quantiles are learnt from. On neurons and perceptrons 10,000
#: give the widths and coverages of all rows (45,000 and 17,000) within .02.
MAX_SPREAD_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Out-of-fold residuals of one model, a row an example.

    Attributes
    ----------
    X
        Features that the model saw, shape ``(n, p)``.
    residual
        Actual minus predicted log(1 + R), shape ``(n,)``.
    lineage, run
        Labels, shape ``(n,)``.
    fold
        Number of the fold whose model predicted the row, shape ``(n,)``; lineages lie in one each.
    """

    X: FloatArray
    residual: FloatArray
    lineage: Labels
    run: Labels
    fold: IntArray


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """What puts intervals around the predictions of one model.

    Attributes
    ----------
    quantiles
        Offsets by level, on the log(1 + R) scale or, with ``spread``, in its half widths.
    spread
        From features to two quantiles of the residual, shape ``(n, 2)``; None: the same interval
        for every row.
    """

    quantiles: ResidualQuantiles
    spread: BaseEstimator | None


def intervals_of(
    predictions: pa.Table, examples: Examples, root_seed: int, *, adaptive: bool
) -> dict[str, Intervals]:
    """Return the intervals of each availability from grouped out-of-fold predictions.

    Parameters
    ----------
    predictions
        From `training.out_of_fold`; the folds by lineage are used.
    examples
        The examples that they are predictions of.
    adaptive
        Whether a row's interval depends on its features.
    """
    table = predictions.to_pandas()
    by_lineage = table[table["split"] == "by lineage"]
    return {
        str(availability): calibrated(
            _residuals(part, examples, str(availability)), root_seed, adaptive=adaptive
        )
        for availability, part in by_lineage.groupby("availability")
    }


def _residuals(part: pd.DataFrame, examples: Examples, availability: str) -> Residuals:
    row = part["row"].to_numpy()
    predicted = part["predicted"].to_numpy()
    return Residuals(
        X=examples.inputs(availability)[row],
        residual=np.log1p(examples.remaining[row]) - np.log1p(predicted),
        lineage=examples.lineage[row],
        run=examples.run[row],
        fold=part["fold"].to_numpy(),
    )


def calibrated(residuals: Residuals, root_seed: int, *, adaptive: bool) -> Intervals:
    """Return the intervals that residuals of whole lineages support."""
    # Landmarks are not scored, so that a run's weight is spread over its drawn rows alone.
    weight = run_weights(residuals.run)
    spread, residual = None, residuals.residual
    if adaptive:
        centre, half_width = centre_and_half_width(_cross_fitted(residuals, weight, root_seed))
        residual = (residual - centre) / half_width
        everything = np.ones(weight.size, dtype=np.bool_)
        spread = _fit_spread(residuals, everything, weight, root_seed)
    levels, lower, upper = conformal_offsets(residual, residuals.lineage, weight)
    return Intervals(
        quantiles=ResidualQuantiles(
            levels=tuple(levels.tolist()),
            lower=tuple(lower.tolist()),
            upper=tuple(upper.tolist()),
        ),
        spread=spread,
    )


def _cross_fitted(residuals: Residuals, weight: FloatArray, root_seed: int) -> FloatArray:
    """Return the quantiles of each row by a model of the other folds, shape ``(n, 2)``."""
    quantiles = np.empty((weight.size, 2))
    for number in np.unique(residuals.fold):
        test = residuals.fold == number
        model = _fit_spread(residuals, ~test, weight, root_seed)
        quantiles[test] = model.predict(residuals.X[test])
    return quantiles


def _fit_spread(
    residuals: Residuals, allowed: BoolArray, weight: FloatArray, root_seed: int
) -> BaseEstimator:
    rows = allowed & _whole_lineages(residuals.lineage, allowed, root_seed)
    model = build_spread_regressor(estimator_seed(root_seed, Purpose.ESTIMATOR))
    return fit_weighted(model, residuals.X[rows], residuals.residual[rows], weight[rows])


def _whole_lineages(lineage: Labels, allowed: BoolArray, root_seed: int) -> BoolArray:
    """Return the rows of lineages that together have at most `MAX_SPREAD_ROWS` allowed rows."""
    names, code = np.unique(lineage, return_inverse=True)
    drawn = generator(root_seed, 1, Purpose.ESTIMATOR).permutation(names.size)
    n_rows = np.bincount(code[allowed], minlength=names.size)[drawn]
    taken = np.zeros(names.size, dtype=np.bool_)
    taken[drawn] = n_rows.cumsum() <= max(MAX_SPREAD_ROWS, int(n_rows.max()))
    return taken[code]
