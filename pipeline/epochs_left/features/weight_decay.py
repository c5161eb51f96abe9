"""Weight decay of the run, known before it starts: causal."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import floored_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(view=View.CAUSAL, units={"log_weight_decay": "log(1)"})
def weight_decay(weight_decay: FloatArray) -> dict[str, FloatArray]:
    """Weight decay coefficient."""
    return {"log_weight_decay": floored_log(weight_decay)}
