"""What the linearised model forecasts from the state: causal; see `dynamics.linearised`."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.CAUSAL,
    units={"log_linearised_epochs": "log(epochs)", "log_linearised_midway_epochs": "log(epochs)"},
)
def linearised_forecast(
    linearised_epochs: FloatArray, linearised_midway_epochs: FloatArray
) -> dict[str, FloatArray]:
    """Epochs to the target if the kernel stays as it is, and if it changes half the way.

    Known for the neuron family alone, from the parameters, their last change and the optimizer.
    """
    return {
        "log_linearised_epochs": np.log1p(linearised_epochs),
        "log_linearised_midway_epochs": np.log1p(linearised_midway_epochs),
    }
