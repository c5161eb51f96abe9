"""Shared by the tests of the engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from epochs_left.dynamics.criterion import Criterion
from epochs_left.simulation.neuron import NeuronEngine, NeuronRuns

CRITERION = Criterion(epsilon=1e-6, delta=1e-8, divergence_loss=1e6, max_epochs=1000)


@pytest.fixture(scope="session")
def criterion() -> Criterion:
    """The criterion of params.yaml."""
    return CRITERION


@pytest.fixture(scope="session")
def unit_runs() -> Callable[..., NeuronRuns]:
    """Build runs of |w.x + b| from initial parameters and a learning rate, one or one a run."""

    def build(params: np.ndarray, lr: float | np.ndarray, **settings: Any) -> NeuronRuns:
        n = len(params)
        values = {"momentum": 0.0, "nesterov": False, "online": False, "activation": 0}
        arrays = {name: np.full(n, value) for name, value in {**values, **settings}.items()}
        keys = np.random.default_rng(0).integers(2**32, size=(n, 2), dtype=np.uint32)
        lrs = np.broadcast_to(np.float64(lr), n)
        return NeuronRuns(n_hidden=0, params=params, lr=lrs, order_key=keys, **arrays)

    return build


@pytest.fixture(scope="session")
def outcomes_of() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Train runs and return their outcome codes and epochs."""

    def train(runs: NeuronRuns) -> tuple[np.ndarray, np.ndarray]:
        engine = NeuronEngine(runs, CRITERION)
        for _ in engine.blocks(256):
            pass
        return engine.outcomes.code, engine.outcomes.epoch

    return train
