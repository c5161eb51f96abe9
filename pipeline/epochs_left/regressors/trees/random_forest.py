"""Random forest (seed 003, section 4.2; Breiman 2001)."""

from __future__ import annotations

from sklearn.base import RegressorMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import Pipeline

from epochs_left.regressors import regressor
from epochs_left.regressors._fitting import N_JOBS
from epochs_left.regressors._transforms import BoundToTraining

#: Rows that a tree draws, in proportion to their weights. The rows of a run are almost copies of
#: each other, so that a few thousand carry nearly all there is, and a fit takes a second however
#: long the table is. At equal cost, fewer trees on more rows beat more trees on fewer rows.
ROWS_PER_TREE = 4_000
N_TREES = 12
#: The share of the features that each split may choose from: Breiman's rule for regression.
FEATURE_SHARE = 1 / 3
MIN_ROWS_PER_LEAF = 2


@regressor(
    title="Random forest",
    scale="log",
    candidates=[{}, {"model__min_samples_leaf": 5}, {"model__max_features": 0.6}],
    cheaper={"model__n_estimators": 4, "model__max_samples": 1_000},
)
def random_forest(random_state: int) -> RegressorMixin:
    """Return a forest that treats missing values as a category of their own.

    Clipping to the training range changes no split; it lets no input overflow float32.
    """
    forest = RandomForestRegressor(
        n_estimators=N_TREES,
        max_samples=ROWS_PER_TREE,
        max_features=FEATURE_SHARE,
        min_samples_leaf=MIN_ROWS_PER_LEAF,
        n_jobs=N_JOBS,
        random_state=random_state,
    )
    return Pipeline([("bound", BoundToTraining(tail=0.0, fill=False)), ("model", forest)])
