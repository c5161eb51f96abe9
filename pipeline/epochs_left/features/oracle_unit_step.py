"""How long the way to the final parameters takes at the pace of an adaptive rule: oracle."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import EPOCH_LIMIT, floored_log
from epochs_left.features import feature_group
from epochs_left.schema import View

_LOG_LIMIT = np.log1p(EPOCH_LIMIT)


@feature_group(view=View.ORACLE, units={"log_epochs_at_unit_step": "log(epochs)"})
def oracle_unit_step(
    l2_to_final: FloatArray,
    lr: FloatArray,
    batch_size: FloatArray,
    n_examples: FloatArray,
    n_params: FloatArray,
) -> dict[str, FloatArray]:
    """Distance to the end over steps of lr in each coordinate (Kingma and Ba 2015, section 2.1)."""
    pace = np.log(lr * n_examples / batch_size) + np.log(n_params) / 2
    gap = np.clip(floored_log(l2_to_final) - pace, -_LOG_LIMIT, _LOG_LIMIT)
    return {"log_epochs_at_unit_step": np.logaddexp(0.0, gap)}
