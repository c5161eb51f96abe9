"""What the baselines share that pass one feature through."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from epochs_left.dynamics.curves import EPOCH_LIMIT
from epochs_left.regressors._transforms import BoundToTraining
from epochs_left.statistics.scores import weighted_median


class FirstFeature(RegressorMixin, BaseEstimator):
    """Predict the first feature, within the targets seen in training.

    Parameters
    ----------
    never
        From here on a value is no answer. The prediction is then the median target of the training
        rows without an answer, or of all if each has one.
    """

    def __init__(self, never: float = np.inf) -> None:
        self.never = never

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the range of ``y``, shape ``(n,)``, and its median where there is no answer.

        ``X`` has the shape ``(n, p)``, ``sample_weight`` the shape ``(n,)``.
        """
        values, targets = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = np.ones(len(targets)) if sample_weight is None else np.asarray(sample_weight)
        unanswered = values[:, 0] >= self.never
        rows = unanswered | ~unanswered.any()
        self.lower_, self.upper_ = float(targets.min()), float(targets.max())
        self.typical_ = float(weighted_median(targets[rows], weight[rows]))
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the first column within the range, or the median, shape ``(n,)``."""
        check_is_fitted(self, "n_features_in_")
        values = validate_data(self, X, dtype=np.float64, reset=False)
        first: NDArray[np.float64] = values[:, 0]
        return np.where(
            first >= self.never, self.typical_, np.clip(first, self.lower_, self.upper_)
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


def first_feature(never: float = np.inf) -> Pipeline:
    """Return the pipeline: bound to what training saw and fill by its median -> first feature."""
    return Pipeline([("bound", BoundToTraining(tail=0.0)), ("model", FirstFeature(never=never))])


def curve_fit() -> Pipeline:
    """Return the first feature, an extrapolation that says "never" by ``EPOCH_LIMIT``.

    At epoch 0 a curve says nothing, and on a rise nothing but "never". As the longest training run
    that would be the worst of answers: R^2 of log(1 + epochs) on the neuron was 0.2 for the
    exponential, against 0.7 with the median.
    """
    return first_feature(never=EPOCH_LIMIT)
