"""Baseline: the forecast from the recorded state by theory, without learning."""

from __future__ import annotations

from sklearn.base import RegressorMixin

from epochs_left.regressors import regressor
from epochs_left.regressors._first_feature import first_feature


@regressor(
    title="Linearised forecast",
    scale="log",
    columns=("log_linearised_midway_epochs",),
)
def linearised(random_state: int) -> RegressorMixin:  # noqa: ARG001
    """Epochs that the linearised dynamics take from the state to the target, on the log scale.

    Known of the neuron's family alone, whose data and model the forecast knows.
    """
    return first_feature()
