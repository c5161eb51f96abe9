"""Ratios to the final parameters, seed 003 section 3.2."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.distances import block_means
from epochs_left.features import feature_group
from epochs_left.features._blocks import N_BLOCKS, block_names, by_block
from epochs_left.schema import View

_EPSILON = 1e-3  # where a final parameter is zero the ratio is current / epsilon, not infinity
_LIMIT = 1e3


@feature_group(view=View.ORACLE, units=dict.fromkeys(block_names("ratio"), "1"))
def oracle_ratios(
    params: FloatArray, final_params: FloatArray, block_of_param: IntArray
) -> dict[str, FloatArray]:
    """Ratio of current to final parameters, block by block, within +-1000.

    Epsilon takes the sign of the final parameter: seed 003's ``final + epsilon`` would vanish at
    ``final = -epsilon``.
    """
    final = final_params[:, None, :]
    ratio = params / (final + np.where(final < 0, -_EPSILON, _EPSILON))
    means = block_means(np.clip(ratio, -_LIMIT, _LIMIT), block_of_param, N_BLOCKS)
    return by_block("ratio", means)
