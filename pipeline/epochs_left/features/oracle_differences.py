"""Differences to the final parameters by block, seed 003 sections 3.1 and 3.2."""

from __future__ import annotations

from epochs_left.arrays import FloatArray
from epochs_left.dynamics.curves import safe_log
from epochs_left.features import feature_group
from epochs_left.features._blocks import block_names, by_block
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
    block_difference: FloatArray, block_distance: FloatArray
) -> dict[str, FloatArray]:
    """Absolute, signed and log differences to the final parameters, block by block."""
    return {
        **by_block("absolute_difference", block_distance),
        **by_block("signed_difference", block_difference),
        **by_block("log_difference", safe_log(block_distance + _EPSILON)),
    }
