"""What theory forecasts from recorded states of the neuron family: an input of feature groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from epochs_left.arrays import BoolArray, FloatArray, Labels
from epochs_left.dynamics.linearised import (
    Training,
    draw_orders,
    epochs_to_target,
    linearise,
    linearise_midway,
)

#: The architecture whose kernel does not change along the way, so that one forecast says it all.
UNIT = "abs-unit"
#: Networks of one hidden layer on XOR: activation and width.
ACTIVATIONS = frozenset({"relu", "leaky_relu", "tanh"})
_WIDTHS = frozenset({"2", "3", "4"})

#: Sample orders that an online forecast is the median of, and epochs until they repeat.
_N_ORDERS, _ORDER_EPOCHS = 3, 1000


def has_forecast(architecture: str) -> bool:
    """Tell whether the theory knows an architecture."""
    activation, _, width = architecture.rpartition("-")
    return architecture == UNIT or (activation in ACTIVATIONS and width in _WIDTHS)


def linearised_forecasts(
    params: FloatArray, previous: FloatArray, architecture: Labels, training: Training
) -> dict[str, FloatArray]:
    """Return `trajectories.FORECAST_INPUTS` of n states, NaN where theory has nothing to say.

    Parameters
    ----------
    params, previous
        theta_t and theta_{t-1} (theta_0 at epoch 0), shape ``(n, P)``.
    architecture
        Name of each state's architecture, shape ``(n,)``.
    training
        How each run goes on.
    """
    orders = draw_orders(np.random.default_rng(0), _N_ORDERS, _ORDER_EPOCHS)
    first, midway = np.full(len(params), np.nan), np.full(len(params), np.nan)
    for name in np.unique(architecture.astype(str)):
        rows = (architecture == name) & np.isfinite(training.target)
        if not has_forecast(name) or not rows.any():
            continue
        states, updates = params[rows], params[rows] - previous[rows]
        how = _taken(training, rows)
        first[rows] = epochs_to_target(linearise(states, updates, name), how, orders)
        midway[rows] = first[rows]
        if name != UNIT:
            ahead = linearise_midway(states, updates, name, how, first[rows])
            midway[rows] = epochs_to_target(ahead, how, orders)
    return {"linearised_epochs": first, "linearised_midway_epochs": midway}


def training_of(columns: Mapping[str, FloatArray | Labels]) -> Training:
    """Return how runs go on from the settings of each, arrays of shape ``(n,)``.

    Parameters
    ----------
    columns
        ``lr``, ``momentum``, ``optimizer``, ``batch_size``, ``n_examples``, ``target``,
        ``horizon``.
    """
    return Training(
        lr=np.asarray(columns["lr"], dtype=np.float64),
        momentum=np.asarray(columns["momentum"], dtype=np.float64),
        nesterov=np.asarray(columns["optimizer"] == "nesterov"),
        online=np.asarray(columns["batch_size"] < columns["n_examples"]),
        target=np.asarray(columns["target"], dtype=np.float64),
        limit=np.asarray(columns["horizon"], dtype=np.float64),
    )


def _taken(training: Training, rows: BoolArray) -> Training:
    return Training(**{f.name: getattr(training, f.name)[rows] for f in fields(training)})
