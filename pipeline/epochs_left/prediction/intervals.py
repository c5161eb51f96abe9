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
from epochs_left.statistics.conformal import centre_and_half_width, conformal_offsets, offsets_at
from epochs_left.statistics.folds import run_weights
from epochs_left.storage.manifests import ResidualQuantiles

#: Rows of whole lineages of a part that the quantiles are learnt from. On neurons and perceptrons
#: 10,000 give the widths and coverages of all rows (45,000 and 17,000) within .02.
MAX_SPREAD_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Out-of-fold residuals of one model, a row an example.

    Attributes
    ----------
    X
        Features that the model saw, shape ``(n, p)``.
    residual
        Actual minus predicted on the scale of intervals (`statistics.scales.interval_scale`), shape
        ``(n,)``.
    lineage, run
        Labels, shape ``(n,)``.
    fold
        Number of the fold whose model predicted the row, shape ``(n,)``; lineages lie in one each.
    part
        Label of each row, shape ``(n,)``, where intervals shall hold in each of several parts: they
        weigh the same, and the widest offsets are taken. None: there is one.
    """

    X: FloatArray
    residual: FloatArray
    lineage: Labels
    run: Labels
    fold: IntArray
    part: Labels | None = None

    @property
    def parts(self) -> list[BoolArray]:
        """Masks of the parts, shape ``(n,)`` each."""
        if self.part is None:
            return [np.ones(self.residual.size, dtype=np.bool_)]
        return [self.part == name for name in np.unique(self.part)]

    @property
    def weight(self) -> FloatArray:
        """What rows count for, shape ``(n,)``: in a part a run is a run, and parts are alike."""
        weight = np.empty(self.residual.size)
        for rows in self.parts:
            # Landmarks are not scored, so that a run's weight is spread over its drawn rows alone.
            of_rows = run_weights(self.run[rows])
            weight[rows] = of_rows / of_rows.mean()
        return weight


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """What puts intervals around the predictions of one model.

    Attributes
    ----------
    quantiles
        Offsets by level, on the scale of the residuals or, with ``spread``, in its half widths.
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
    spread, residual = None, residuals.residual
    if adaptive:
        centre, half_width = centre_and_half_width(_cross_fitted(residuals, root_seed))
        residual = (residual - centre) / half_width
        spread = _fit_spread(residuals, np.ones(residual.size, dtype=np.bool_), root_seed)
    return Intervals(quantiles=_widest(residuals, residual), spread=spread)


def _widest(residuals: Residuals, residual: FloatArray) -> ResidualQuantiles:
    """Return the widest offsets of the parts, at the levels that all of them support."""
    weight = residuals.weight
    found = [
        conformal_offsets(residual[rows], residuals.lineage[rows], weight[rows])
        for rows in residuals.parts
    ]
    n_levels = min(levels.size for levels, _, _ in found)
    lower = np.min([low[:n_levels] for _, low, _ in found], axis=0)
    upper = np.max([high[:n_levels] for _, _, high in found], axis=0)
    return ResidualQuantiles(
        levels=tuple(found[0][0][:n_levels].tolist()),
        lower=tuple(lower.tolist()),
        upper=tuple(upper.tolist()),
    )


def interval_ends(
    intervals: Intervals, X: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """Return where intervals of a level begin and end beside the predictions of n rows.

    Parameters
    ----------
    X
        Features, shape ``(n, p)``, as in the residuals that the intervals come from.

    Returns
    -------
    Lower and upper offsets from the predictions, on the scale of the residuals, ``(n,)`` each.
    """
    found = intervals.quantiles
    offsets = np.array(found.levels), np.array(found.lower), np.array(found.upper)
    lower, upper = offsets_at(level, offsets)
    if intervals.spread is None:
        return np.full(len(X), lower), np.full(len(X), upper)
    centre, half_width = centre_and_half_width(intervals.spread.predict(X))
    return centre + lower * half_width, centre + upper * half_width


def _cross_fitted(residuals: Residuals, root_seed: int) -> FloatArray:
    """Return the quantiles of each row by a model of the other folds, shape ``(n, 2)``."""
    quantiles = np.empty((residuals.residual.size, 2))
    for number in np.unique(residuals.fold):
        test = residuals.fold == number
        model = _fit_spread(residuals, ~test, root_seed)
        quantiles[test] = model.predict(residuals.X[test])
    return quantiles


def _fit_spread(residuals: Residuals, allowed: BoolArray, root_seed: int) -> BaseEstimator:
    rows = np.zeros(allowed.size, dtype=np.bool_)
    for part in residuals.parts:
        rows |= part & allowed & _whole_lineages(residuals.lineage, part & allowed, root_seed)
    model = build_spread_regressor(estimator_seed(root_seed, Purpose.ESTIMATOR))
    weight = residuals.weight[rows]
    return fit_weighted(model, residuals.X[rows], residuals.residual[rows], weight)


def _whole_lineages(lineage: Labels, allowed: BoolArray, root_seed: int) -> BoolArray:
    """Return the rows of lineages that together have at most `MAX_SPREAD_ROWS` allowed rows."""
    names, code = np.unique(lineage, return_inverse=True)
    drawn = generator(root_seed, 1, Purpose.ESTIMATOR).permutation(names.size)
    n_rows = np.bincount(code[allowed], minlength=names.size)[drawn]
    taken = np.zeros(names.size, dtype=np.bool_)
    taken[drawn] = n_rows.cumsum() <= max(MAX_SPREAD_ROWS, int(n_rows.max()))
    return taken[code]
