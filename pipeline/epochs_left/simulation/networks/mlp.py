"""Multilayer perceptrons in lockstep: batched matrix products, backward by hand.

Autograd would spend more time on its graph than these matrices take. Rumelhart, Hinton and Williams
1986; layer l: a_l = phi(a_{l-1} W_l + b_l), delta_l = (delta_{l+1} W_{l+1}^T) phi'(z_l).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from epochs_left.simulation.losses import NO_CLASS, mean_loss_and_grad
from epochs_left.simulation.networks import Examples, network, views
from epochs_left.workloads import Tensor as TensorSpec
from epochs_left.workloads.mlp import ACTIVATIONS

_SQRT_HALF = math.sqrt(0.5)
_INV_SQRT_TAU = 1 / math.sqrt(2 * math.pi)

#: Class scores are padded to a multiple of this: 10 columns take three times as long as 16.
_ALIGNED = 16

# Parameters and gradients of the lanes; they are replaced when lanes are dropped.
_SEEN_AT_MOST = 2


def _relu_backward(delta: Tensor, z: Tensor, a: Tensor) -> Tensor:
    del z
    gradient: Tensor = torch.ops.aten.threshold_backward(delta, a, 0)
    return gradient


def _tanh_backward(delta: Tensor, z: Tensor, a: Tensor) -> Tensor:
    del z
    return delta * (1 - a * a)


def _gelu_backward(delta: Tensor, z: Tensor, a: Tensor) -> Tensor:
    del a
    cdf = torch.erf(z * _SQRT_HALF).add_(1).mul_(0.5)
    return cdf.add_(z * torch.exp(-0.5 * z * z), alpha=_INV_SQRT_TAU).mul_(delta)


def _abs_backward(delta: Tensor, z: Tensor, a: Tensor) -> Tensor:
    del a
    return torch.sign(z).mul_(delta)  # abs'(0) = 0


#: phi(z), and the gradient by z from that by phi(z).
_PHI: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu, _relu_backward),
    "tanh": (torch.tanh, _tanh_backward),
    "gelu": (functional.gelu, _gelu_backward),
    "abs": (torch.abs, _abs_backward),
}


class MlpLanes:
    """K perceptrons; each lane has its own activation.

    Parameters
    ----------
    tensors
        Weight and bias of each layer, in order.
    examples
        The task.
    """

    lane_step: ClassVar[int] = 2  # one matrix alone is multiplied by another kernel
    n_state = 0

    def __init__(self, tensors: tuple[TensorSpec, ...], examples: Examples) -> None:
        self._tensors = tensors
        self._examples = examples
        self._segments: list[tuple[str, slice]] = []
        self._seen: dict[int, tuple[Tensor, list[Tensor]]] = {}
        n_out = examples.n_outputs
        self._padding = 0 if n_out == 1 else -n_out % _ALIGNED

    def initial_state(self) -> Tensor:
        """Return nothing: a perceptron has no running statistics."""
        return torch.zeros(0)

    def sort_key(self, activation: str) -> int:
        """Return the index of the activation."""
        return ACTIVATIONS.index(activation)

    def arrange(self, keys: list[int]) -> None:
        """Cut the lanes into segments of one activation."""
        self._segments = [
            (ACTIVATIONS[key], slice(keys.index(key), keys.index(key) + keys.count(key)))
            for key in sorted(set(keys))
        ]

    def loss_and_grad(
        self, params: Tensor, state: Tensor, index: Tensor, grad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return loss and gradient of each lane's batch (`LaneNetwork.loss_and_grad`)."""
        del state
        k, batch = index.shape
        flat = index.reshape(-1)
        inputs = self._examples.inputs.index_select(0, flat).view(k, batch, -1)
        targets = self._examples.targets.index_select(0, flat).view(k, batch)
        layers = self._layers(params)
        before, after = self._forward(layers, inputs)
        loss, delta = mean_loss_and_grad(self._examples.loss, after[-1], targets)
        self._backward(layers, self._views(grad), before, after, delta)
        return loss, grad

    def outputs(self, params: Tensor, state: Tensor, inputs: Tensor) -> Tensor:
        """Return outputs for shared inputs, shape ``(K, n, C)``."""
        del state
        _, after = self._forward(self._layers(params), inputs.expand(params.shape[0], -1, -1))
        return after[-1][:, :, : self._examples.n_outputs]

    def _views(self, flat: Tensor) -> list[Tensor]:
        """Return the views of a tensor that stays the same from step to step, made once."""
        found, made = self._seen.get(id(flat), (None, []))
        if found is not flat:
            if len(self._seen) >= _SEEN_AT_MOST:
                self._seen.clear()
            made = views(flat, self._tensors)
            self._seen[id(flat)] = (flat, made)
        return made

    def _layers(self, params: Tensor) -> list[Tensor]:
        """Return weight ``(K, n_in, n_out)`` and bias ``(K, 1, n_out)`` of each layer."""
        layers = list(self._views(params))
        layers[1::2] = [bias.unsqueeze(1) for bias in layers[1::2]]
        if self._padding:
            layers[-2] = functional.pad(layers[-2], (0, self._padding))
            layers[-1] = functional.pad(layers[-1], (0, self._padding), value=NO_CLASS)
        return layers

    def _forward(self, layers: list[Tensor], inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return what enters each activation, and the inputs followed by what leaves each layer."""
        before: list[Tensor] = []
        after = [inputs]
        last = len(layers) // 2 - 1
        for number in range(last + 1):
            z = _affine(after[-1], layers[2 * number], layers[2 * number + 1])
            before.append(z)
            after.append(z if number == last else self._activate(z))
        return before, after

    def _activate(self, z: Tensor) -> Tensor:
        if len(self._segments) == 1:
            return _PHI[self._segments[0][0]][0](z)
        return torch.cat([_PHI[name][0](z[lanes]) for name, lanes in self._segments])

    def _backward(
        self,
        layers: list[Tensor],
        grads: list[Tensor],
        before: list[Tensor],
        after: list[Tensor],
        delta: Tensor,
    ) -> None:
        """Write the gradient of every layer into ``grads``."""
        for number in range(len(before) - 1, -1, -1):
            weight, bias = grads[2 * number], grads[2 * number + 1]
            # a strided out= of bmm leaves the fast path: a product of its own, then a copy
            weight.copy_(_weight_gradient(after[number], delta)[:, :, : weight.shape[2]])
            bias.copy_(delta.sum(1)[:, : bias.shape[1]])
            if number:
                delta = _input_gradient(delta, layers[2 * number])
                delta = self._through(delta, before[number - 1], after[number])

    def _through(self, delta: Tensor, z: Tensor, a: Tensor) -> Tensor:
        parts = [_PHI[name][1](delta[lanes], z[lanes], a[lanes]) for name, lanes in self._segments]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


# A single output is a sum of products: its matrix product takes longer than for 16 columns.


def _affine(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.shape[2] == 1:
        return (inputs * weight.transpose(1, 2)).sum(2, keepdim=True).add_(bias)
    return torch.baddbmm(bias, inputs, weight)


def _weight_gradient(inputs: Tensor, delta: Tensor) -> Tensor:
    if delta.shape[2] == 1:
        return (inputs * delta).sum(1).unsqueeze(2)
    return torch.bmm(inputs.transpose(1, 2), delta)


def _input_gradient(delta: Tensor, weight: Tensor) -> Tensor:
    if delta.shape[2] == 1:
        return delta * weight.transpose(1, 2)
    if delta.shape[1] == 1:  # a product of one row rounds by where in memory the matrix begins
        return (delta * weight).sum(2).unsqueeze(1)
    return torch.bmm(delta, weight.transpose(1, 2))


@network("mlp")
def build(tensors: tuple[TensorSpec, ...], architecture: str, examples: Examples) -> MlpLanes:
    """Return perceptrons of one shape."""
    del architecture
    return MlpLanes(tensors, examples)
