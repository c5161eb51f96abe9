"""The loss of every workload in PyTorch; loaded by the battery of the workloads."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from epochs_left.dynamics.xor import XOR_INPUTS, XOR_TARGETS
from epochs_left.workloads import TaskData
from epochs_left.workloads.mlp import layer_sizes

REFERENCES = Path(__file__).parents[1] / "simulation" / "networks"
ACTIVATIONS = {
    "abs": torch.abs,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
}

Run = dict[str, Any]

#: Loss of some training examples and its gradient, from parameters in the recorded order: (run,
#: parameters in float64, examples of the task, which of them to train on; None: evaluate on all).
Reference = Callable[
    [Run, torch.Tensor, TaskData | None, np.ndarray | None], tuple[float, torch.Tensor]
]


def neuron_reference(
    run: Run, theta: torch.Tensor, data: TaskData | None, batch: np.ndarray | None
) -> tuple[float, torch.Tensor]:
    activation, _, units = run["architecture"].rpartition("-")
    inputs, targets = torch.from_numpy(XOR_INPUTS), torch.from_numpy(XOR_TARGETS)
    theta = theta.requires_grad_()
    if run["architecture"] == "abs-unit":
        outputs = (inputs @ theta[:2] + theta[2]).abs()
    else:
        h = int(units)
        weights, biases, out, bias = theta.split([2 * h, h, h, 1])
        outputs = ACTIVATIONS[activation](inputs @ weights.view(h, 2).T + biases) @ out + bias
    loss = (outputs - targets).square().mean()
    return loss.item(), torch.autograd.grad(loss, theta)[0]


def examples_of(data: TaskData | None, batch: np.ndarray | None) -> tuple[torch.Tensor, ...]:
    assert data is not None
    rows = slice(None) if batch is None else batch
    return torch.from_numpy(data.inputs[rows]), torch.from_numpy(data.targets[rows])


def mlp_reference(
    run: Run, theta: torch.Tensor, data: TaskData | None, batch: np.ndarray | None
) -> tuple[float, torch.Tensor]:
    x, targets = examples_of(data, batch)
    theta = theta.requires_grad_()
    sizes, start, x = layer_sizes(run["architecture"]), 0, x.double()
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        weight, bias, start = start, start + n_in * n_out, start + (n_in + 1) * n_out
        x = ACTIVATIONS[run["activation"]](x) if layer else x
        x = x @ theta[weight:bias].view(n_in, n_out) + theta[bias:start]
    if data is not None and data.loss == "cross_entropy":
        loss = functional.cross_entropy(x, targets)
    elif data is not None and data.loss == "binary":
        loss = functional.binary_cross_entropy_with_logits(x[:, 0], targets.double())
    else:
        loss = functional.mse_loss(x[:, 0], targets.double())
    return loss.item(), torch.autograd.grad(loss, theta)[0]


def resnet_reference(
    run: Run, theta: torch.Tensor, data: TaskData | None, batch: np.ndarray | None
) -> tuple[float, torch.Tensor]:
    inputs, targets = examples_of(data, batch)
    model = RESNET["Plain"](run["architecture"]).double()
    model.load(theta)
    model.train(batch is not None)
    loss = functional.cross_entropy(model(inputs.double()), targets)
    loss.backward()
    return loss.item(), model.gradient()


def char_lm_reference(
    run: Run, theta: torch.Tensor, data: TaskData | None, batch: np.ndarray | None
) -> tuple[float, torch.Tensor]:
    model = CHAR_LM["reference"](run["architecture"], theta)
    loss = model.loss(*examples_of(data, batch))
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    return loss.item(), CHAR_LM["flat"](run["architecture"], gradient)


RESNET = runpy.run_path(str(REFERENCES / "test_resnet.py"))
CHAR_LM = runpy.run_path(str(REFERENCES / "test_char_lm.py"))

#: A new workload adds its loss in PyTorch here, the one thing that a battery cannot make up, and
#: how far the rounding of its engine may lie from it.
LOSSES: dict[str, tuple[Reference, float]] = {
    "neuron": (neuron_reference, 1e-6),
    "mlp": (mlp_reference, 1e-4),
    "resnet": (resnet_reference, 1e-3),
    "char_lm": (char_lm_reference, 1e-4),
}
