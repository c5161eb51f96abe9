"""Baseline: the closed-form rate of the run, where theory gives one."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from epochs_left.regressors import regressor
from epochs_left.regressors._transforms import BoundToTraining


class FirstFeature(RegressorMixin, BaseEstimator):
    """Predict the first feature, within the targets seen in training; it learns nothing else."""

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,  # noqa: ARG002
    ) -> Self:
        """Learn the range of ``y``, shape ``(n,)``; ``X`` has the shape ``(n, p)``."""
        _, targets = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.lower_, self.upper_ = float(targets.min()), float(targets.max())
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the first column within the range, shape ``(n,)``."""
        check_is_fitted(self, "n_features_in_")
        values = validate_data(self, X, dtype=np.float64, reset=False)
        first: NDArray[np.float64] = values[:, 0]
        return np.clip(first, self.lower_, self.upper_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


@regressor(
    title="Closed-form rate",
    scale="epochs",
    columns=("theory_epochs_remaining",),
    baseline=True,
)
def theory(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Remaining epochs by the closed form of the single unit, also where it does not hold.

    Near its pole the form says millions of epochs; no prediction exceeds what training runs took.
    """
    return Pipeline([("bound", BoundToTraining(tail=0.0)), ("model", FirstFeature())])
