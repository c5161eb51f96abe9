"""Blocks of runs as padded arrays: what feature groups compute on.

Padding keeps feature code plain numpy along axis 1, and keeps every number independent of the other
runs of the block: a sequential operation along a row sees that row alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochs_left.arrays import FloatArray, IntArray

#: Every input that a feature group may ask for: shape and meaning.
#: R runs, E epochs (padded), P parameters, S parameter blocks.
INPUTS: Mapping[str, str] = {
    "epoch": "(R, E) epoch t, passes done",
    "loss": "(R, E) loss on the full training set, or the metric that stands for it",
    "grad_norm": "(R, E) L2 norm of the full-batch gradient",
    "update_norm": "(R, E) L2 norm of theta_t - theta_{t-1}",
    "path_length": "(R, E) sum of the update norms so far",
    "probe_kl": "(R, E) mean KL on the probe set to the previous epoch",
    "params": "(R, E, P) parameters",
    "final_params": "(R, P) parameters at the end of the run; oracle view only",
    "block_of_param": "(P,) index of the parameter block that each parameter belongs to",
    "target": "(R, 1) loss to be reached",
    "lr": "(R, 1) learning rate",
    "momentum": "(R, 1) momentum coefficient",
    "batch_size": "(R, 1) examples a step",
    "n_examples": "(R, 1) examples in the training set",
    "n_params": "(R, 1) parameter count",
    "optimizer": "(R, 1) optimizer name",
    "activation": "(R, 1) activation name",
}

#: Inputs that only the oracle view may see.
ORACLE_INPUTS = frozenset({"final_params"})


@dataclass(frozen=True, kw_only=True)
class Trajectories:
    """A block of R runs, padded to E epochs.

    Parameters
    ----------
    lengths
        Epochs recorded of each run, shape ``(R,)``; cells at or beyond a run's length are padding.
    inputs
        Arrays by input name (keys of ``INPUTS``); a name that is absent was not measured.
        Per-epoch inputs are NaN in the padding.
    """

    lengths: IntArray
    inputs: Mapping[str, Any]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.inputs) - set(INPUTS))
        if unknown:
            raise ValueError(f"unknown inputs {unknown}; known: {sorted(INPUTS)}")

    @property
    def n_runs(self) -> int:
        """Number of runs R."""
        return int(self.lengths.size)

    @property
    def n_epochs(self) -> int:
        """Padded number of epochs E."""
        return int(self.inputs["epoch"].shape[1])

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Mask of the cells that hold data, shape ``(R, E)``."""
        return np.arange(self.n_epochs)[None, :] < self.lengths[:, None]


def pad(values: FloatArray, lengths: IntArray, *, fill: float = np.nan) -> FloatArray:
    """Spread concatenated runs over rows.

    Parameters
    ----------
    values
        Concatenated values of all runs, shape ``(sum(lengths), ...)``.
    lengths
        Rows of each run, shape ``(R,)``.

    Returns
    -------
    Array of shape ``(R, max(lengths), ...)`` in float64.
    """
    n_epochs = int(lengths.max(initial=0))
    padded = np.full((lengths.size, n_epochs, *values.shape[1:]), fill, dtype=np.float64)
    padded[np.arange(n_epochs)[None, :] < lengths[:, None]] = values
    return padded


def blocks_of_similar_length(lengths: Sequence[int] | IntArray, max_cells: int) -> list[IntArray]:
    """Group runs of similar length so that padding wastes little and a block stays bounded.

    Returns index arrays into ``lengths``; each block has at most ``max_cells`` padded cells
    (a single longer run gets a block of its own).
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    blocks: list[IntArray] = []
    start = 0
    sizes = np.asarray(lengths)[order]
    for end in range(1, order.size + 1):
        is_last = end == order.size
        if is_last or (end + 1 - start) * int(sizes[end]) > max_cells:
            blocks.append(order[start:end])
            start = end
    return blocks
