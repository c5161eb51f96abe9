"""Names of what is computed per parameter block.

A block is one parameter of the unit |w.x + b| (w1, w2, b), which gives seed 003's per-parameter
features, and one tensor of a network, so that the columns are the same for every width.
"""

from __future__ import annotations

from epochs_left.arrays import FloatArray

N_BLOCKS = 4


def block_names(prefix: str) -> list[str]:
    """Return ``prefix_0`` to ``prefix_3``."""
    return [f"{prefix}_{block}" for block in range(N_BLOCKS)]


def by_block(prefix: str, values: FloatArray) -> dict[str, FloatArray]:
    """Split values of shape ``(R, E, N_BLOCKS)`` into named columns."""
    return {name: values[..., block] for block, name in enumerate(block_names(prefix))}
