"""Batch size of the run, known before it starts: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units={"batch_share": "1", "log_steps": "log(steps)"})
def batch(batch_size: FloatArray, n_examples: FloatArray) -> dict[str, FloatArray]:
    """Share of the training set that one step sees, and steps an epoch."""
    share = batch_size / n_examples
    return {"batch_share": share, "log_steps": -np.log(share)}
