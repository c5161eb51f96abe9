"""Shared by the tests of the engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from epochs_left.config import parse_settings
from epochs_left.dynamics.criterion import Criterion
from epochs_left.simulation.neuron import NeuronEngine, NeuronRuns
from epochs_left.workloads.mlp import MlpSettings

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


@pytest.fixture(scope="session")
def lockstep_settings(small_params: dict[str, Any]) -> MlpSettings:
    """What the lockstep engine reads of them: lanes and the bound of divergence."""
    parsed = parse_settings(MlpSettings, small_params["mlp"], "mlp")
    return replace(parsed, lanes=32, divergence_loss=1e6)


@pytest.fixture(autouse=True)
def _denormals_again() -> Iterator[None]:
    """An engine may flush denormals for the whole process; other tests want them."""
    yield
    torch.set_flush_denormal(False)


Step = Callable[[float], None]


@pytest.fixture(scope="session")
def torch_step() -> Callable[..., Step]:
    """Build an optimizer of PyTorch's own for a run; its step takes the learning rate in force."""

    def build(parameters: Iterable[torch.Tensor], run: dict[str, Any]) -> Step:
        parameters = list(parameters)
        optimizer = _torch_optimizer(parameters, run)
        # of the optimizers in PyTorch, AdamW alone has decoupled decay of its own
        decoupled = run["weight_decay_mode"] == "decoupled" and run["optimizer"] != "adamw"

        def step(lr: float) -> None:
            optimizer.param_groups[0]["lr"] = lr
            if decoupled:
                with torch.no_grad():
                    for parameter in parameters:
                        parameter.mul_(1 - lr * run["weight_decay"])
            optimizer.step()

        return step

    return build


def _torch_optimizer(parameters: list[torch.Tensor], run: dict[str, Any]) -> torch.optim.Optimizer:
    name, momentum, decay = run["optimizer"], run["momentum"], run["weight_decay"]
    coupled = decay if run["weight_decay_mode"] == "coupled" else 0.0
    if name in {"sgd", "momentum", "nesterov"}:
        return torch.optim.SGD(
            parameters, momentum=momentum, nesterov=name == "nesterov", weight_decay=coupled
        )
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, weight_decay=coupled)
    betas = (momentum, 0.999)
    if name == "adamw" and run["weight_decay_mode"] == "decoupled":
        return torch.optim.AdamW(parameters, betas=betas, weight_decay=decay)
    return torch.optim.Adam(parameters, betas=betas, weight_decay=coupled)
