"""When the plateau begins on fitted curves of the cumulative learning rate: causal."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.clock import epochs_until, time_on_clock
from epochs_left.features import feature_group
from epochs_left.features._plateaus import plateau_features, plateau_units
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units=plateau_units("_on_clock"))
def plateau_on_clock(
    loss: FloatArray,
    epoch: FloatArray,
    plateau: FloatArray,
    horizon: FloatArray,
    lr: FloatArray,
    planned_lr: FloatArray,
) -> dict[str, FloatArray]:
    """Read the same off the clock of the planned learning rates, in epochs at the base one.

    On it a schedule does not bend the curve.
    """
    relative = planned_lr / lr
    return plateau_features(
        loss,
        plateau,
        epoch,
        horizon,
        clock=time_on_clock(relative, epoch),
        clock_end=time_on_clock(relative, np.broadcast_to(horizon, plateau.shape)),
        epoch_at=lambda begins: np.minimum(epochs_until(relative, begins), horizon),
        suffix="_on_clock",
    )
