"""The neuron family: |w.x + b|, or sum_j a_j phi(w_j . x + b_j) + c (seed 003, section 2.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from epochs_left.simulation.functions import Function, function
from epochs_left.simulation.networks import views
from epochs_left.workloads import Tensor as TensorSpec
from epochs_left.workloads.neuron import n_hidden

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
}


# In float64 as in training: the loss falls to 1e-6 of its start.
@function("neuron", dtype=torch.float64, gradient_examples=4, apart=4)
def build(tensors: tuple[TensorSpec, ...], architecture: str, activation: str) -> Function:
    """Return the unit or the hidden layer."""
    if not n_hidden(architecture):
        return _unit
    activate = _ACTIVATIONS[activation]

    def hidden(params: Tensor, inputs: Tensor, group: int) -> Tensor:
        del group
        weight, bias, out, shift = views(params, tensors)
        z = (inputs.unsqueeze(2) * weight.unsqueeze(1)).sum(3) + bias.unsqueeze(1)
        return (activate(z) * out.unsqueeze(1)).sum(2, keepdim=True) + shift.unsqueeze(1)

    return hidden


def _unit(params: Tensor, inputs: Tensor, group: int) -> Tensor:
    del group
    z = (inputs * params[:, None, :2]).sum(2, keepdim=True) + params[:, None, 2:]
    return z.abs()
