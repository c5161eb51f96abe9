"""Names of what is computed per parameter block.

A block is one parameter of the unit |w.x + b| (w1, w2, b), which gives seed 003's per-parameter
features; one tensor of a small network; and neighbouring tensors of a deep one. So the columns are
the same for every width and depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epochs_left.arrays import FloatArray, IntArray

N_BLOCKS = 4


def depth_blocks(tensor_of_param: Sequence[int]) -> IntArray:
    """Return the block of each parameter: its tensor, or with more than `N_BLOCKS` its depth.

    Parameters
    ----------
    tensor_of_param
        Index of the tensor of each parameter, ascending, length P.
    """
    tensors = np.asarray(tensor_of_param)
    n_tensors = int(tensors.max(initial=0)) + 1
    return tensors if n_tensors <= N_BLOCKS else tensors * N_BLOCKS // n_tensors


def block_names(prefix: str) -> list[str]:
    """Return ``prefix_0`` to ``prefix_3``."""
    return [f"{prefix}_{block}" for block in range(N_BLOCKS)]


def by_block(prefix: str, values: FloatArray) -> dict[str, FloatArray]:
    """Split values of shape ``(R, E, N_BLOCKS)`` into named columns."""
    return {name: values[..., block] for block, name in enumerate(block_names(prefix))}
