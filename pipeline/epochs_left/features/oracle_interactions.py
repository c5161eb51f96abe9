"""Products of differences to the final parameters, seed 003 section 3.2."""

from __future__ import annotations

from itertools import combinations_with_replacement

from epochs_left.arrays import FloatArray
from epochs_left.features import feature_group
from epochs_left.features._blocks import N_BLOCKS
from epochs_left.schema import View

_PAIRS = list(combinations_with_replacement(range(N_BLOCKS), 2))


@feature_group(
    view=View.ORACLE,
    units={f"interaction_{i}_{j}": "parameter units^2" for i, j in _PAIRS},
)
def oracle_interactions(block_difference: FloatArray) -> dict[str, FloatArray]:
    """Product of the signed differences of every pair of blocks, squares included."""
    return {
        f"interaction_{i}_{j}": block_difference[..., i] * block_difference[..., j]
        for i, j in _PAIRS
    }
