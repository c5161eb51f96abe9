"""Multilayer perceptrons of varying depth (seed 003, section 4.2)."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._perceptron import MultilayerPerceptron
from epochs_left.regressors._sampling import OnSample
from epochs_left.regressors._transforms import with_bounded_inputs

#: Rows that a fit sees, of all runs.
ROWS = 12_000


@regressor(
    title="Multilayer perceptron",
    scale="log",
    candidates=[{"estimator__model__depth": depth} for depth in (2, 1, 3, 4)],
    cheaper={"estimator__model__steps": 40},
)
def mlp(random_state: int) -> RegressorMixin:
    """Return a perceptron on bounded and standardised features."""
    model = MultilayerPerceptron(random_state=random_state)
    return OnSample(with_bounded_inputs(model), rows=ROWS)
