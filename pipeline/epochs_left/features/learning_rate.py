"""Learning rate of the run, known before it starts: causal."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units={"log_lr": "log(parameter units^2 / loss)"})
def learning_rate(lr: FloatArray) -> dict[str, FloatArray]:
    """Learning rate."""
    return {"log_lr": safe_log(lr)}
