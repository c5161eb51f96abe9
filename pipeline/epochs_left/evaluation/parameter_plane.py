"""Epochs to convergence over the parameter plane of the unit |w.x + b|, true and predicted.

The plane is (w2 - w1, b) at w1 + w2 = 0: the loss contracts along w1 + w2 whatever the rest does,
and whether a run reaches the solution depends on the other two coordinates alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.arrays import FloatArray, IntArray
from epochs_left.dynamics.closed_form import (
    predict_outcomes,
    reaches_solution,
    unit_loss_and_gradient,
)
from epochs_left.dynamics.criterion import CONVERGED
from epochs_left.dynamics.geometry import trajectory_geometry
from epochs_left.evaluation import result
from epochs_left.evaluation.context import FamilyContext
from epochs_left.features import compute_features
from epochs_left.features._blocks import N_BLOCKS
from epochs_left.prediction.forecasts import UNIT, linearised_forecasts, training_of
from epochs_left.prediction.predictor import Forecast
from epochs_left.schema import OUTCOMES, View
from epochs_left.statistics.scores import relative_error
from epochs_left.trajectories import Trajectories
from epochs_left.workloads import WORKLOADS

#: Half the side of the plane: beyond it lies 1 % of N(0, 2), the distribution of w2 - w1.
_EXTENT = 3.5


@result("parameter_plane.parquet", of="neuron")
def parameter_plane(context: FamilyContext) -> pa.Table:
    """Return true and predicted epochs at initialisation over a grid of the plane."""
    params = _grid(context.settings.plane_points)
    codes, epochs = _truth(context, params)
    forecast = _forecast(context, params)
    converged = codes == CONVERGED
    likely = _probability(forecast) >= 0.5
    return pa.table(
        {
            "w_minus": params[:, 1] - params[:, 0],
            "b": params[:, 2],
            "outcome": [OUTCOMES[code].value for code in codes],
            "epochs": pa.array(epochs, pa.int64(), mask=~converged),
            "predicted": pa.array(forecast.remaining, pa.float64(), mask=~likely),
            "p_converges": _probability(forecast),
        }
    )


@result("parameter_plane.json", of="neuron")
def parameter_plane_summary(context: FamilyContext) -> dict[str, Any]:
    """Return how well the prediction at initialisation matches the plane."""
    params = _grid(context.settings.plane_points)
    codes, epochs = _truth(context, params)
    forecast = _forecast(context, params)
    scored = (codes == CONVERGED) & (epochs > 0)
    errors = relative_error(epochs[scored].astype(float), forecast.remaining[scored])
    right = (_probability(forecast) >= 0.5) == reaches_solution(params)
    return {
        "lr": context.settings.plane_lr,
        "model": context.best_causal,
        "w_plus": 0.0,
        "extent": _EXTENT,
        "n": len(params),
        "boundary": "|w2 - w1| = |b|",
        "accuracy": float(right.mean()),
        "median_relative_error": float(np.median(errors)) if errors.size else None,
    }


def _grid(points: int) -> FloatArray:
    """Return (w1, w2, b) over the grid, shape ``(points * (points - 1), 3)``.

    The values of b lie half-way between those of w2 - w1: on the boundary |w2 - w1| = |b| itself
    the closed form does not hold.
    """
    axis = np.linspace(-_EXTENT, _EXTENT, points)
    between = (axis[1:] + axis[:-1]) / 2
    w_minus, b = (part.ravel() for part in np.meshgrid(axis, between))
    return np.stack([-w_minus / 2, w_minus / 2, b], axis=1)


def _truth(context: FamilyContext, params: FloatArray) -> tuple[IntArray, IntArray]:
    lr = np.full(len(params), context.settings.plane_lr)
    return predict_outcomes(params, lr, context.criterion)


def _forecast(context: FamilyContext, params: FloatArray) -> Forecast:
    """Predict from epoch 0 alone, as the best causal regressor would before training."""
    predictor = context.predictors[context.best_causal, View.CAUSAL]
    runs = at_initialisation(context, params)
    features = compute_features(runs, predictor.groups, names=predictor.manifest.features)
    X = np.stack([features[name][:, 0] for name in predictor.manifest.features], axis=1)
    everything = np.ones(len(params), dtype=np.bool_)
    return predictor.forecast(X, np.zeros(len(params)), everything, ~everything)


def at_initialisation(context: FamilyContext, params: FloatArray) -> Trajectories:
    """Return runs of the unit at epoch 0 from ``params``, shape ``(n, 3)``, with every input."""
    n = len(params)
    loss, gradient = unit_loss_and_gradient(params)
    blocks = np.array(WORKLOADS[context.family].block_of_param(UNIT))
    once = np.ones(n, dtype=np.int64)
    geometry = trajectory_geometry(params, once, block_of_param=blocks, n_blocks=N_BLOCKS)
    names = {"optimizer": "sgd", "activation": "abs", "lr_schedule": "constant"}
    numbers = {
        "target": context.criterion.epsilon,
        "lr": context.settings.plane_lr,
        "momentum": 0.0,
        "batch_size": 4.0,
        "n_examples": 4.0,
        "n_params": 3.0,
        "weight_decay": 0.0,
        "plateau": np.nan,
        "horizon": float(context.criterion.max_epochs),
    }
    zero = np.zeros((n, 1))
    columns = {name: np.full(n, value) for name, value in {**numbers, **names}.items()}
    forecasts = linearised_forecasts(params, params, np.full(n, UNIT), training_of(columns))
    return Trajectories(
        lengths=once,
        inputs={
            "epoch": zero,
            "loss": loss[:, None],
            "grad_norm": np.linalg.norm(gradient, axis=1)[:, None],
            "update_norm": zero,
            "path_length": zero,
            "probe_kl": zero,
            **{name: values[:, None] for name, values in geometry.items()},
            **{name: values[:, None] for name, values in forecasts.items()},
            **{name: np.full((n, 1), value) for name, value in numbers.items()},
            **{name: np.full((n, 1), value, dtype=object) for name, value in names.items()},
            "planned_lr": np.full((n, context.criterion.max_epochs + 1), numbers["lr"]),
        },
    )


def _probability(forecast: Forecast) -> FloatArray:
    if forecast.p_converges is None:
        return np.ones_like(forecast.remaining)
    return forecast.p_converges
