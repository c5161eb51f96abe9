"""Fitting with weights, whatever the estimator is made of."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits

from epochs_left.arrays import Labels

Estimator = TypeVar("Estimator", bound=BaseEstimator)

#: Threads of a fit and of a prediction. Fits run side by side, one a core: two threads make one fit
#: 1.5 times faster on an idle machine, and ten times slower when another process holds a core. With
#: several threads the last bits of a forest and of a linear fit also depend on their number.
N_JOBS = 1


def fit_weighted(
    estimator: Estimator,
    X: NDArray[np.floating[Any]],
    y: NDArray[Any],
    weight: NDArray[np.floating[Any]],
    *,
    groups: Labels | None = None,
    upper: NDArray[np.floating[Any]] | None = None,
) -> Estimator:
    """Fit ``estimator`` in place with row weights and return it.

    Parameters
    ----------
    estimator
        A scikit-learn estimator, or a Pipeline whose last step gets what follows ``y``.
    X, y
        Features, shape ``(n, p)``, and targets, shape ``(n,)``.
    weight
        Weight of each row, shape ``(n,)``. They are scaled to mean 1, since penalties and minimal
        leaf weights count in rows.
    groups
        Label of each row, shape ``(n,)``, for what splits the rows inside; others do without.
    upper
        Upper bound of each target, shape ``(n,)``, infinite where a row is right-censored at ``y``;
        for regressors that learn from censored rows (`RegressorSpec.censored`) alone.
    """
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    given: dict[str, NDArray[Any]] = {"sample_weight": weight / weight.mean()}
    if groups is not None and has_fit_parameter(last, "groups"):
        given["groups"] = groups
    if upper is not None:
        given["upper"] = upper
    step = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    with threadpool_limits(limits=N_JOBS, user_api="blas"):
        estimator.fit(X, y, **{step + name: values for name, values in given.items()})
    return estimator
