"""When the plateau begins on curves of the learning rate spent so far: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.features import feature_group
from epochs_left.features._plateaus import plateau_features, plateau_units
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units=plateau_units("_on_rates"))
def plateau_on_rates(
    loss: FloatArray,
    epoch: FloatArray,
    plateau: FloatArray,
    horizon: FloatArray,
    lr_in_force: FloatArray,
) -> dict[str, FloatArray]:
    """Read the same off the clock of the learning rates so far, if the present one stays.

    In epochs at the first learning rate above 0.
    """
    first = np.argmax(lr_in_force > 0, axis=1)[:, None]
    rate = lr_in_force / np.maximum(np.take_along_axis(lr_in_force, first, axis=1), 1e-300)
    rate = np.maximum(rate, 1e-12)
    clock = np.cumsum(rate * np.diff(epoch, axis=1, prepend=0.0), axis=1)
    return plateau_features(
        loss,
        plateau,
        epoch,
        horizon,
        clock=clock,
        clock_end=clock + rate * np.maximum(horizon - epoch, 0.0),
        epoch_at=lambda begins: np.minimum(epoch + (begins - clock) / rate, horizon),
        suffix="_on_rates",
    )
