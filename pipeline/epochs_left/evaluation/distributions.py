"""Predicted distributions of the epochs remaining, read off a model's intervals of many levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from epochs_left.arrays import FloatArray
from epochs_left.evaluation.context import FamilyContext, ModelKey
from epochs_left.prediction.predictor import Forecast, Predictor
from epochs_left.schema import View

#: Central levels whose ends are the quantiles: a quantile in every twentieth, closer in the tails.
GRID = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
#: How many regressors are looked at closely.
N_BEST = 3


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Quantiles of the epochs remaining of n rows, given that their runs converge.

    Attributes
    ----------
    shares
        Increasing shares in (0, 1), shape ``(m,)``; none that the data support no finite quantile
        of.
    quantiles
        In epochs, not decreasing along a row, shape ``(n, m)``.
    """

    shares: FloatArray
    quantiles: FloatArray


def forecast_at(
    context: FamilyContext, key: ModelKey, rows: pd.DataFrame, level: float
) -> Forecast:
    """Predict rows of examples with intervals of a level, every input known."""
    return _forecast(context.predictors[key].at_level(level), rows)


def _forecast(predictor: Predictor, rows: pd.DataFrame) -> Forecast:
    X = rows[list(predictor.manifest.features)].to_numpy(np.float32)
    everything = np.ones(len(rows), dtype=np.bool_)
    return predictor.forecast(X, rows["epoch"].to_numpy(float), everything, ~everything)


def distribution(context: FamilyContext, key: ModelKey, rows: pd.DataFrame) -> Distribution:
    """Return the distribution that a model's intervals of the levels `GRID` describe.

    Quantiles that cross are put in order (Chernozhukov, Fernandez-Val & Galichon 2010).
    """
    forecasts = {level: forecast_at(context, key, rows, level) for level in GRID}
    finite = {level: found for level, found in forecasts.items() if np.isfinite(found.upper).all()}
    ends = {(1 - level) / 2: found.lower for level, found in finite.items()}
    ends |= {(1 + level) / 2: found.upper for level, found in finite.items()}
    shares = sorted(ends)
    quantiles = np.stack([ends[share] for share in shares], axis=1) if ends else _nothing(rows)
    return Distribution(shares=np.array(shares), quantiles=np.sort(quantiles, axis=1))


def _nothing(rows: pd.DataFrame) -> FloatArray:
    return np.empty((len(rows), 0))


def best_models(context: FamilyContext, view: View = View.CAUSAL) -> list[ModelKey]:
    """Return the `N_BEST` regressors of a view with the smallest grouped errors, best first.

    As in `FamilyContext.best`; baselines are left out.
    """
    return [(name, view) for name in context.ranked(view)[:N_BEST]]
