"""A stack of different regressors: the final predictor."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._boosting import BOOSTING
from epochs_left.regressors._kernels import kernel_ridge
from epochs_left.regressors._sampling import OnSample
from epochs_left.regressors._stacking import PackedBoosting, Stacked
from epochs_left.regressors._transforms import cubic_ridge
from epochs_left.schema import View

#: Rows that the trees and the cubics see, of all runs, and those that the weights follow from.
ROWS = 24_000
WEIGHT_ROWS = 4_000


@regressor(title="Stack", scale="log", views=(View.CAUSAL,), adaptive=True)
def stacked(random_state: int) -> RegressorMixin:
    """Boosted trees, a radial kernel and cubics, with weights for unseen lineages.

    The three are unlike each other; a random forest gets hardly any weight beside them. R^2 by
    lineage, against that of boosting alone: perceptrons .931 and .925 (oracle), .867 and .867
    (causal), ResNets .940 and .930, .788 and .771, neurons the same to .0003 (two folds of five).
    It takes as long as all the others together, and is fitted in the view that people use.
    """
    trees = PackedBoosting(settings=dict(BOOSTING), random_state=random_state)
    return Stacked(
        [
            ("trees", OnSample(trees, rows=ROWS)),
            ("kernel", kernel_ridge("rbf", scale=0.3)),
            ("cubics", OnSample(cubic_ridge(), rows=ROWS)),
        ],
        rows=WEIGHT_ROWS,
    )
