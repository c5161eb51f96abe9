"""Products of differences to the final parameters, seed 003 section 3.2."""

from __future__ import annotations

from itertools import combinations_with_replacement

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.distances import block_means
from epochs_left.features import feature_group
from epochs_left.features._blocks import N_BLOCKS
from epochs_left.schema import View

_PAIRS = list(combinations_with_replacement(range(N_BLOCKS), 2))


@feature_group(
    view=View.ORACLE,
    units={f"interaction_{i}_{j}": "parameter units^2" for i, j in _PAIRS},
)
def oracle_interactions(
    params: FloatArray, final_params: FloatArray, block_of_param: IntArray
) -> dict[str, FloatArray]:
    """Product of the signed differences of every pair of blocks, squares included."""
    signed = block_means(params - final_params[:, None, :], block_of_param, N_BLOCKS)
    return {f"interaction_{i}_{j}": signed[..., i] * signed[..., j] for i, j in _PAIRS}
