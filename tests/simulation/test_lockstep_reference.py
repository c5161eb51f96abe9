"""The lockstep engine against one model at a time: torch.nn, torch.optim and autograd."""

from __future__ import annotations

import itertools
import math
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence
from torch.nn import functional

from epochs_left.dynamics.schedules import SCHEDULES
from epochs_left.schema import VALIDATED_MEASURES
from epochs_left.simulation.orders import shuffled_orders
from epochs_left.workloads._networks import OPTIMIZERS, WEIGHT_DECAY_MODES
from epochs_left.workloads._sweep import order_keys
from epochs_left.workloads.mlp import ACTIVATIONS, MlpSettings, layer_sizes

HELPERS = runpy.run_path(str(Path(__file__).parent / "lockstep_runs.py"))
Task, TASKS, N_TRAIN, ROOT_SEED = (
    HELPERS[name] for name in ("Task", "TASKS", "N_TRAIN", "ROOT_SEED")
)
make_task, draw_runs, initial, train = (
    HELPERS[name] for name in ("make_task", "draw_runs", "initial", "train")
)
TORCH_ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "abs": torch.abs,
}
TorchStep = Callable[..., Callable[[float], None]]
Run = dict[str, Any]
Rows = dict[str, np.ndarray]


def multiplier(schedule: str, progress: float) -> float:
    """Return the learning rate in force over the base rate, as the papers give it."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if schedule in {"linear", "trapezoid"}:
        return min(1.0, (1 - progress) / (1.0 if schedule == "linear" else 0.2))
    if schedule == "step":
        return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
    if schedule == "one_cycle" and progress < 0.3:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / 0.3))
    if schedule == "one_cycle":
        return 0.5 * (1 + math.cos(math.pi * (progress - 0.3) / 0.7))
    return 1.0


def order_of(run: Run, epoch: int) -> np.ndarray:
    """Return the engine's own sample order."""
    if run["batch_size"] == N_TRAIN:
        return np.arange(N_TRAIN)
    order = np.empty((1, N_TRAIN), dtype=np.int64)
    key = order_keys(pa.table({"run_id": [run["run_id"]]}), ROOT_SEED)
    shuffled_orders(key, np.array([epoch]), order)
    return order[0]


class Model:
    """A perceptron of torch.nn in float64, on the examples of a task."""

    def __init__(self, run: Run, task: Task, theta: np.ndarray) -> None:
        self.run, self.data = run, task.data
        self.layers = torch.nn.ModuleList()
        start = 0
        for n_in, n_out in itertools.pairwise(layer_sizes(task.architecture)):
            layer = torch.nn.Linear(n_in, n_out, dtype=torch.float64)
            weight = theta[start : start + n_in * n_out].reshape(n_in, n_out)
            bias = theta[start + n_in * n_out : start + (n_in + 1) * n_out]
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight.T.copy()))
                layer.bias.copy_(torch.from_numpy(bias.copy()))
            self.layers.append(layer)
            start += (n_in + 1) * n_out

    def outputs(self, inputs: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(inputs).double()
        *hidden, last = self.layers
        for layer in hidden:
            x = TORCH_ACTIVATIONS[self.run["activation"]](layer(x))
        result: torch.Tensor = last(x)
        return result

    def loss(self, inputs: np.ndarray, targets: np.ndarray) -> torch.Tensor:
        outputs, labels = self.outputs(inputs), torch.from_numpy(targets)
        if self.data.loss == "cross_entropy":
            return functional.cross_entropy(outputs, labels)
        if self.data.loss == "binary":
            return functional.binary_cross_entropy_with_logits(outputs[:, 0], labels.double())
        return functional.mse_loss(outputs[:, 0], labels.double())

    def predictions(self) -> torch.distributions.Distribution:
        outputs = self.outputs(self.data.valid_inputs[:64]).detach()
        if self.data.loss == "cross_entropy":
            return Categorical(logits=outputs)
        one = outputs[:, 0]
        return Bernoulli(logits=one) if self.data.loss == "binary" else Normal(one, 1.0)

    def valid_metric(self) -> float:
        outputs, targets = self.outputs(self.data.valid_inputs).detach(), self.data.valid_targets
        if self.data.loss == "cross_entropy":
            return float(np.mean(outputs.argmax(1).numpy() == targets))
        if self.data.loss == "binary":
            return float(np.mean((outputs[:, 0].numpy() > 0) == (targets > 0.5)))
        residual = np.mean((outputs[:, 0].numpy() - targets) ** 2)
        return float(1 - residual / targets.astype(np.float64).var())

    def gradient(self, batch: np.ndarray) -> torch.Tensor:
        """Set the gradients to those of a batch; return them as one vector."""
        for parameter in self.layers.parameters():
            parameter.grad = None
        self.loss(self.data.inputs[batch], self.data.targets[batch]).backward()
        return torch.cat([p.grad.flatten() for p in self.layers.parameters() if p.grad is not None])

    def params(self) -> np.ndarray:
        """Return the parameters in the order in which they are recorded."""
        parts = [(layer.weight.detach().T, layer.bias.detach()) for layer in self.layers]
        return np.concatenate([part.numpy().ravel() for pair in parts for part in pair])


def reference(run: Run, task: Task, theta: np.ndarray, torch_step: TorchStep) -> Rows:
    """Train one run as a user of PyTorch would; return its rows."""
    model, data = Model(run, task, theta), task.data
    take_step = torch_step(model.layers.parameters(), run)
    before, predicted, path_length, rows = theta, model.predictions(), 0.0, []
    for epoch in range(run["max_epochs"] + 1):
        lr = run["lr"] * multiplier(run["lr_schedule"], min((epoch + 0.5) / run["max_epochs"], 1.0))
        batches = order_of(run, epoch).reshape(-1, run["batch_size"])
        now, predicted_now = model.params(), model.predictions()
        update_norm = float(np.linalg.norm(now - before))
        path_length += update_norm
        row = {
            "loss": model.loss(data.inputs, data.targets).item(),
            "grad_norm": model.gradient(batches[0]).norm().item(),
            "update_norm": update_norm,
            "path_length": path_length,
            "probe_kl": kl_divergence(predicted, predicted_now).mean().item(),
            "lr": lr,
            "valid_loss": model.loss(data.valid_inputs, data.valid_targets).item(),
            "valid_metric": model.valid_metric(),
            "params": now,
        }
        rows.append(row)
        before, predicted = now, predicted_now
        for batch in batches:
            model.gradient(batch)
            take_step(lr)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


#: Adam divides by what may be near 0: rounding of single parameters is that of a step.
ATOL = {"params": 3e-5}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_column_equals_one_model_at_a_time(
    task: Task, seed: int, lockstep_settings: MlpSettings, torch_step: TorchStep
) -> None:
    runs = draw_runs(task, 32, seed)
    found, starts = train(task, runs, lockstep_settings).rows(), initial(runs)
    for run, rows, theta in zip(runs, found, starts, strict=True):
        expected = reference(run, task, theta, torch_step)
        assert set(rows) == set(expected) == {*VALIDATED_MEASURES, "params"}
        for name, values in expected.items():
            np.testing.assert_allclose(
                rows[name], values, rtol=1e-3, atol=ATOL.get(name, 2e-6), err_msg=f"{name}: {run}"
            )


def test_probe_set_is_the_first_held_out_examples(
    lockstep_settings: MlpSettings, torch_step: TorchStep
) -> None:
    task = make_task("binary", "5-16-8-1", n_valid=100)
    runs = draw_runs(task, 4, 9)
    found, starts = train(task, runs, lockstep_settings).rows(), initial(runs)
    for run, rows, theta in zip(runs, found, starts, strict=True):
        expected = reference(run, task, theta, torch_step)["probe_kl"]
        np.testing.assert_allclose(rows["probe_kl"], expected, rtol=1e-3, atol=1e-9)


def test_the_reference_covers_every_kind_of_run() -> None:
    drawn = [run for seed in range(3) for run in draw_runs(TASKS["binary"], 32, seed)]
    for column, names in (
        ("optimizer", OPTIMIZERS),
        ("weight_decay_mode", WEIGHT_DECAY_MODES),
        ("activation", ACTIVATIONS),
        ("lr_schedule", SCHEDULES),
        ("batch_size", [1, 8, N_TRAIN]),
    ):
        assert {run[column] for run in drawn} == set(names)
    pairs = {(run["optimizer"], run["weight_decay_mode"]) for run in drawn}
    assert len(pairs) == len(OPTIMIZERS) * len(WEIGHT_DECAY_MODES)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_full_batch_gradient_is_that_of_the_recorded_loss(
    task: Task, lockstep_settings: MlpSettings
) -> None:
    """At every epoch, from the parameters of the row itself."""
    runs = draw_runs(task, 12, 4, batch_size=N_TRAIN)
    for run, rows in zip(runs, train(task, runs, lockstep_settings).rows(), strict=True):
        for epoch, theta in enumerate(rows["params"]):
            model = Model(run, task, theta.astype(np.float64))
            gradient = model.gradient(np.arange(N_TRAIN))
            np.testing.assert_allclose(rows["grad_norm"][epoch], gradient.norm(), rtol=1e-4)
            loss = model.loss(task.data.inputs, task.data.targets).item()
            np.testing.assert_allclose(rows["loss"][epoch], loss, rtol=1e-5)
