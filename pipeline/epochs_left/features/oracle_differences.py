"""Differences to the final parameters by block, seed 003 sections 3.1 and 3.2."""

from __future__ import annotations

import numpy as np

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.dynamics.distances import block_means
from epochs_left.features import feature_group
from epochs_left.features._blocks import N_BLOCKS, block_names, by_block
from epochs_left.schema import View

_EPSILON = 1e-8  # seed 003's epsilon; float32 parameters cannot resolve less


@feature_group(
    view=View.ORACLE,
    units={
        **dict.fromkeys(block_names("absolute_difference"), "parameter units"),
        **dict.fromkeys(block_names("signed_difference"), "parameter units"),
        **dict.fromkeys(block_names("log_difference"), "log(parameter units)"),
    },
)
def oracle_differences(
    params: FloatArray, final_params: FloatArray, block_of_param: IntArray
) -> dict[str, FloatArray]:
    """Absolute, signed and log differences to the final parameters, block by block."""
    difference = params - final_params[:, None, :]
    signed = block_means(difference, block_of_param, N_BLOCKS)
    absolute = block_means(np.abs(difference), block_of_param, N_BLOCKS)
    return {
        **by_block("absolute_difference", absolute),
        **by_block("signed_difference", signed),
        **by_block("log_difference", safe_log(absolute + _EPSILON)),
    }
