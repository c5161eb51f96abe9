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
from epochs_left.dynamics.geometry import GEOMETRY

#: Measures of an epoch, shape (R, E): R runs, E epochs (padded).
MEASURES: Mapping[str, str] = {
    "epoch": "epoch t, passes done",
    "loss": "loss on the full training set, or the metric that stands for it",
    "grad_norm": "L2 norm of the gradient of the coming batch (in full batch: the loss's)",
    "update_norm": "L2 norm of theta_t - theta_{t-1}",
    "path_length": "sum of the update norms so far",
    "probe_kl": "mean KL on the probe set to the previous epoch, nats",
    "lr_in_force": "learning rate of the pass just done; at epoch 0 that of the first",
}

#: What the recorded parameters say of an epoch (`dynamics.geometry`), (R, E), S blocks (R, E, S).
GEOMETRY_INPUTS: Mapping[str, str] = {
    name: meaning.partition(") ")[2] for name, meaning in GEOMETRY.items()
}

#: Measured at sampled states alone (`simulation.state_probes`), (R, E), NaN elsewhere.
STATE_INPUTS: Mapping[str, str] = {
    "grad_norm_full": "L2 norm of the gradient of the training loss",
    "grad_start_cosine": "cos(gradient, theta_t - theta_0)",
    "grad_update_cosine": "cos(gradient, theta_t - theta_{t-1})",
    "kl_from_start": "mean KL on the probe set from the predictions at epoch 0, nats",
    "ntk_from_start": "NTK norm of theta_t - theta_0, output units",
    "ntk_update": "NTK norm of theta_t - theta_{t-1}, output units",
    "fisher_rao_from_start": "Fisher-Rao norm of theta_t - theta_0",
    "fisher_rao_update": "Fisher-Rao norm of theta_t - theta_{t-1}",
    "ntk_trace": "mean squared norm of the outputs' gradients on the probe set",
    "grad_cosine": "mean pairwise cosine of the examples' gradients",
    "grad_alignment": "(theta_t - theta_T) . gradient, loss units",
    "grad_alignment_cosine": "cos(theta_t - theta_T, gradient)",
    "kl_to_final": "mean KL on the probe set to the predictions at the end, nats",
    "ntk_to_final": "NTK norm of theta_t - theta_T, output units",
    "fisher_rao_to_final": "Fisher-Rao norm of theta_t - theta_T",
}

#: What theory forecasts from the parameters of an epoch (`prediction.forecasts`), (R, E); NaN where
#: there is no such theory.
FORECAST_INPUTS: Mapping[str, str] = {
    "linearised_epochs": "epochs to the target by the linearised model",
    "linearised_midway_epochs": "the same with the kernel half the way ahead",
}

#: Settings of a run, shape (R, 1), and the planned learning rates, shape (R, H + 1).
SETTINGS: Mapping[str, str] = {
    "target": "loss to be reached; NaN where a plateau is asked for",
    "plateau": "share of the initial excess at which a plateau begins; NaN where a loss is asked",
    "horizon": "epochs that the run is meant to last",
    "lr": "base learning rate",
    "planned_lr": "(R, H + 1) learning rate after 0, 1, ... passes, NaN beyond the horizon",
    "lr_schedule": "schedule name",
    "momentum": "momentum coefficient",
    "weight_decay": "weight decay coefficient",
    "batch_size": "examples a step",
    "n_examples": "examples in the training set",
    "n_params": "parameter count",
    "optimizer": "optimizer name",
    "activation": "activation name",
}

#: Every input that a feature group may ask for, and its meaning.
INPUTS: Mapping[str, str] = {
    **MEASURES,
    **GEOMETRY_INPUTS,
    **STATE_INPUTS,
    **FORECAST_INPUTS,
    **SETTINGS,
}

#: Inputs that every log has, with what it is asked for; a plateau comes with its horizon.
LOSS_INPUTS = frozenset({"epoch", "loss", "target", "plateau", "horizon"})

#: What is asked for: a threshold or a plateau. The one that was not asked for is not missing.
GOAL_INPUTS = frozenset({"target", "plateau"})

#: What a plan of the learning rates consists of; models of plateaus are trained without it too.
PLAN_INPUTS = frozenset({"lr", "lr_schedule", "planned_lr"})

#: Inputs that only the oracle view may see: they look at the end of the run.
ORACLE_INPUTS = frozenset(
    {name for name in GEOMETRY if "theta_T" in GEOMETRY[name]}
    | {name for name in STATE_INPUTS if name.endswith("_to_final") or "alignment" in name}
)

#: Inputs that may be unknown at some cells: what is computed from them is missing there too.
MAY_BE_MISSING = frozenset(
    {
        *GEOMETRY_INPUTS,
        *STATE_INPUTS,
        *FORECAST_INPUTS,
        "target",
        "plateau",
        "probe_kl",
        "lr_in_force",
    }
)


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


def pad(values: FloatArray | IntArray, lengths: IntArray, *, fill: float = np.nan) -> FloatArray:
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
    if n_epochs * lengths.size == len(values):
        return np.array(values, dtype=np.float64).reshape(lengths.size, n_epochs, *values.shape[1:])
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
