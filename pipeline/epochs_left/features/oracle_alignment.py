"""Gradient alignment, seed 003 section 5.2: oracle."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import floored_log
from epochs_left.features import feature_group
from epochs_left.schema import View


@feature_group(
    view=View.ORACLE,
    units={
        "log_grad_alignment": "log(loss)",
        "grad_alignment_sign": "-1, 0 or 1",
        "grad_alignment_cosine": "1",
    },
)
def oracle_alignment(
    grad_alignment: FloatArray, grad_alignment_cosine: FloatArray
) -> dict[str, FloatArray]:
    """(theta_t - theta_T) . gradient: its size, sign and cosine."""
    return {
        "log_grad_alignment": floored_log(np.abs(grad_alignment)),
        "grad_alignment_sign": np.sign(grad_alignment),
        "grad_alignment_cosine": grad_alignment_cosine,
    }
