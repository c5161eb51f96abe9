"""When the plateau begins if the loss goes on as the curve that fits it best: causal."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.features import feature_group
from epochs_left.features._plateaus import plateau_features, plateau_units
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units=plateau_units(""))
def plateau_by_curve(
    loss: FloatArray, epoch: FloatArray, plateau: FloatArray, horizon: FloatArray
) -> dict[str, FloatArray]:
    """Epochs to the plateau on fitted curves, their share of the epochs to come, and the misfit.

    Power laws with a floor fitted to the later three quarters and the later half of the epochs so
    far, and decays with a floor fitted to the later half.
    """
    return plateau_features(
        loss,
        plateau,
        epoch,
        horizon,
        clock=epoch,
        clock_end=horizon,
        epoch_at=lambda begins: begins,
        suffix="",
    )
