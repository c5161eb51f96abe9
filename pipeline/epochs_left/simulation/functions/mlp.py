"""Multilayer perceptrons: a_l = phi(a_{l-1} W_l + b_l), the last layer without phi."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from epochs_left.simulation.functions import (
    Function,
    affine,
    class_scores,
    contiguous_views,
    function,
)
from epochs_left.workloads import Tensor as TensorSpec

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
}


@function("mlp", dtype=torch.float32, gradient_examples=2048, apart=32)
def build(tensors: tuple[TensorSpec, ...], architecture: str, activation: str) -> Function:
    """Return the perceptrons of one shape."""
    del architecture
    activate = _ACTIVATIONS[activation]

    def outputs(params: Tensor, inputs: Tensor, group: int) -> Tensor:
        del group
        layers = contiguous_views(params, tensors)
        x = inputs.expand(len(params), -1, -1)
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            x = activate(affine(x, weight, bias))
        last = affine if layers[-1].shape[1] == 1 else class_scores
        return last(x, layers[-2], layers[-1])

    return outputs
