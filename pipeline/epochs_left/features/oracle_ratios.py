"""Ratios to the final parameters, seed 003 section 3.2."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray
from epochs_left.features import feature_group
from epochs_left.features._blocks import block_names, by_block
from epochs_left.schema import View

_EPSILON = 1e-3  # where a final parameter is zero the ratio is current / epsilon, not infinity
_LIMIT = 1e3


@feature_group(view=View.ORACLE, units=dict.fromkeys(block_names("ratio"), "1"))
def oracle_ratios(block_mean: FloatArray, final_block_mean: FloatArray) -> dict[str, FloatArray]:
    """Ratio of current to final parameters, means of each block, within +-1000.

    Epsilon takes the sign of the final parameter: seed 003's ``final + epsilon`` would vanish at
    ``final = -epsilon``.
    """
    final = final_block_mean + np.where(final_block_mean < 0, -_EPSILON, _EPSILON)
    return by_block("ratio", np.clip(block_mean / final, -_LIMIT, _LIMIT))
