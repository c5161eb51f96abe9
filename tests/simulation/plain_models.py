"""A plain model of each family as a function of its recorded vector; loaded by state tests."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from epochs_left.workloads.mlp import layer_sizes

NETWORKS = Path(__file__).parent / "networks"
RESNET = runpy.run_path(str(NETWORKS / "test_resnet.py"))
CHAR_LM = runpy.run_path(str(NETWORKS / "test_char_lm.py"))
ACTIVATIONS = {
    "abs": torch.abs,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
}

#: Outputs of one model, ``(predictions, C)``, from its parameters and a batch.
Outputs = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def plain(case: Any) -> Outputs:
    return {"neuron": plain_neuron, "mlp": plain_mlp}.get(case.family, plain_module)(case)


def plain_neuron(case: Any) -> Outputs:
    def outputs(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if case.architecture == "abs-unit":
            return (x @ theta[:2] + theta[2]).abs()[:, None]
        h = (len(theta) - 1) // 4
        weights, biases, out, bias = theta.split([2 * h, h, h, 1])
        hidden = ACTIVATIONS[case.activation](x @ weights.view(h, 2).T + biases)
        return (hidden @ out + bias)[:, None]

    return outputs


def plain_mlp(case: Any) -> Outputs:
    def outputs(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        start = 0
        for layer, (n_in, n_out) in enumerate(pairwise(layer_sizes(case.architecture))):
            weight, bias, start = start, start + n_in * n_out, start + (n_in + 1) * n_out
            x = ACTIVATIONS[case.activation](x) if layer else x
            x = x @ theta[weight:bias].view(n_in, n_out) + theta[bias:start]
        return x

    return outputs


def plain_module(case: Any) -> Outputs:
    model = RESNET["Plain"] if case.family == "resnet" else CHAR_LM["Transformer"]
    return module_outputs(case, model(case.architecture).double())


def module_outputs(case: Any, model: torch.nn.Module) -> Outputs:
    """A module as a function of the recorded vector; linear weights are stored inputs first."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None  # batch statistics always

    def outputs(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        parts = theta.split([p.numel() for p in model.parameters()])
        named = {}
        for (name, own), part in zip(model.named_parameters(), parts, strict=True):
            linear = name.endswith("weight") and own.ndim == 2
            embedding = name.startswith(("tokens", "positions"))
            flipped = linear and not embedding
            named[name] = part.view(own.T.shape).T if flipped else part.view(own.shape)
        with sdpa_kernel(SDPBackend.MATH):  # the others have no rule for a whole Jacobian
            return functional_call(model, named, (x,)).flatten(0, -2)

    return outputs


def loss_of(loss: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if loss == "cross_entropy":
        return functional.cross_entropy(outputs, targets.flatten())
    if loss == "binary":
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], targets.double())
    return functional.mse_loss(outputs[:, 0], targets.double())


def predictions(loss: str, outputs: torch.Tensor) -> torch.distributions.Distribution:
    if loss == "cross_entropy":
        return torch.distributions.Categorical(logits=outputs)
    if loss == "binary":
        return torch.distributions.Bernoulli(logits=outputs[:, 0])
    return torch.distributions.Normal(outputs[:, 0], 1.0)


def information(loss: str, outputs: torch.Tensor) -> torch.Tensor:
    """The Fisher information of each prediction by its outputs, ``(m, C, C)``."""
    if loss == "cross_entropy":
        p = outputs.softmax(1)
        return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    if loss == "binary":
        p = outputs.sigmoid()
        return (p * (1 - p))[:, :, None]
    return torch.ones(len(outputs), 1, 1).double()
