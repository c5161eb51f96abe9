"""Fits on more rows than memory holds: what was tuned on a sample, fitted again batch by batch.

What allows it: a linear model needs sums of products alone, and boosted trees histograms. The
settings, the bounds of the inputs and the scaling stay those of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import singledispatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy.linalg import solve
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from xgboost import XGBRegressor

from epochs_left.arrays import FloatArray
from epochs_left.regressors._ridge import GroupedRidge
from epochs_left.regressors._tuning import Tuned

#: Features, shape ``(n, p)``, targets and weights, shape ``(n,)``.
Batch = tuple[NDArray[np.floating[Any]], FloatArray, FloatArray]
#: The batches from the first to the last, as often as it is called.
Batches = Callable[[], Iterator[Batch]]


@singledispatch
def refit_in_batches(model: Any, batches: Batches) -> bool:  # noqa: ARG001
    """Fit a fitted model again on batches, in place; return whether its kind allows it.

    Parameters
    ----------
    model
        An estimator that was fitted on a sample of the rows.
    batches
        All rows. Weights are scaled to mean 1, as `fit_weighted` does.
    """
    return False


@refit_in_batches.register
def _(model: Tuned, batches: Batches) -> bool:
    return refit_in_batches(model.predictor_, batches)


@refit_in_batches.register
def _(model: Pipeline, batches: Batches) -> bool:
    last = model.steps[-1][1]
    if not isinstance(last, (Ridge, GroupedRidge)):
        return False
    penalty = last.alpha_ if isinstance(last, GroupedRidge) else float(last.alpha)
    last.coef_, last.intercept_ = _ridge_of_batches(model[:-1], penalty, batches)
    return True


def _ridge_of_batches(
    transforms: Pipeline, penalty: float, batches: Batches
) -> tuple[FloatArray, float]:
    """Return coefficients and intercept from the Gram matrix of (X, 1, y), summed over batches."""
    n_rows, parts = 0, list[FloatArray]()
    for X, y, weight in batches():
        Z = np.column_stack([transforms.transform(X), np.ones(y.size), y])
        parts = [sum(parts, start=Z.T @ (Z * weight[:, None]))]
        n_rows += y.size
    (gram,) = parts
    gram *= n_rows / gram[-2, -2]  # weights of mean 1
    centre = np.append(gram[-2, :-2], gram[-2, -1]) / gram[-2, -2]
    moments = np.delete(np.delete(gram, -2, axis=0), -2, axis=1)
    # The intercept bears no penalty, so that it leaves with the means.
    centred = moments - n_rows * np.outer(centre, centre)
    left = centred[:-1, :-1] + penalty * np.eye(len(centred) - 1)
    coefficients = np.asarray(solve(left, centred[:-1, -1], assume_a="pos"))
    return coefficients, float(centre[-1] - centre[:-1] @ coefficients)


@refit_in_batches.register
def _(model: XGBRegressor, batches: Batches) -> bool:
    settings = model.get_xgb_params()
    rounds, max_bin = model.get_num_boosting_rounds(), settings.get("max_bin") or 256
    with TemporaryDirectory(prefix="epochs-left-") as folder:
        rows = _XgboostRows(batches, Path(folder))
        matrix = xgboost.ExtMemQuantileDMatrix(rows, max_bin=max_bin, nthread=settings["n_jobs"])
        booster = xgboost.train(settings, matrix, num_boost_round=rounds)
        data = bytearray(booster.save_raw("ubj"))
        del booster, matrix  # they remove their files from the folder, which must still be there
    model.load_model(data)
    return True


class _XgboostRows(xgboost.DataIter):
    """Batches as xgboost asks for them; it keeps what it needs of them in a folder."""

    def __init__(self, batches: Batches, folder: Path) -> None:
        self._batches = batches
        self._scale = _mean_weight(batches)
        self._left = batches()
        super().__init__(cache_prefix=str(folder / "rows"))

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over the next batch; False after the last."""
        batch = next(self._left, None)
        if batch is None:
            return False
        X, y, weight = batch
        input_data(data=X, label=y, weight=weight / self._scale)
        return True

    def reset(self) -> None:
        """Begin again."""
        self._left = self._batches()


def _mean_weight(batches: Batches) -> float:
    sums = np.array([(weight.sum(), weight.size) for _, _, weight in batches()])
    total, n_rows = sums.sum(axis=0)
    return float(total / n_rows)
