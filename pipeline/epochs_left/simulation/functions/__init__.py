"""Networks as functions of parameters and inputs, for automatic differentiation. One file a family.

The lockstep networks (`simulation.networks`) differentiate by hand, one loss by all parameters;
what is measured at a recorded state needs derivatives along directions and of single examples too.
Nothing is changed in place here, so both modes of automatic differentiation work. The first axis is
the lane: one model each, whose arithmetic never depends on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from epochs_left.registry import Registry
from epochs_left.simulation.losses import NO_CLASS
from epochs_left.simulation.networks import views
from epochs_left.workloads import Tensor as TensorSpec

#: Class scores are padded to a multiple of this: products of 10 columns take three times as long.
_ALIGNED = 16


class Function(Protocol):
    """The outputs of L models of one architecture and activation."""

    def __call__(self, params: Tensor, inputs: Tensor, group: int) -> Tensor:
        """Return outputs, shape ``(L, n, C)`` with C at least the task's outputs.

        Parameters
        ----------
        params
            Shape ``(L, n_params)``.
        inputs
            Inputs of each lane, or of all: shape ``(L, n, ...)`` or ``(1, n, ...)``.
        group
            1: an example's outputs depend on the whole batch where the network normalises by
            batches. g > 1: g lanes hold the examples of one batch; its statistics are constants.
        """
        ...


#: Builds a function: (tensors, architecture, activation) -> function.
Build = Callable[[tuple[TensorSpec, ...], str, str], Function]


@dataclass(frozen=True, kw_only=True)
class Family:
    """How the states of a workload family are measured.

    Attributes
    ----------
    build
        Builds the outputs as a function.
    dtype
        Precision of the measurement.
    gradient_examples
        Training examples, the first ones, that stand for the training set.
    apart
        Examples, the first ones, whose gradients are computed one by one.
    """

    build: Build
    dtype: torch.dtype
    gradient_examples: int
    apart: int


FUNCTIONS: Registry[Family] = Registry("function", __name__)


def function(
    family: str, *, dtype: torch.dtype, gradient_examples: int, apart: int
) -> Callable[[Build], Build]:
    """Register what builds the functions of a workload family; arguments as in `Family`."""

    def register(build: Build) -> Build:
        item = Family(
            build=build,
            dtype=dtype,
            gradient_examples=gradient_examples,
            apart=apart,
        )
        FUNCTIONS.add(family, item)
        return build

    return register


def contiguous_views(params: Tensor, tensors: tuple[TensorSpec, ...]) -> list[Tensor]:
    """Return each lane's tensors, copied so that all lanes begin alike in memory."""
    return [part.contiguous() for part in views(params, tensors)]


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x W + b, for x ``(L, n, n_in)``, W ``(L, n_in, n_out)`` and b ``(L, n_out)``.

    Products of one row or of one column are sums: their matrix kernels round by where in memory a
    lane begins.
    """
    if x.shape[1] == 1:
        return (x.transpose(1, 2) * weight).sum(1, keepdim=True) + bias.unsqueeze(1)
    if weight.shape[2] == 1:
        return (x * weight.transpose(1, 2)).sum(2, keepdim=True) + bias.unsqueeze(1)
    return torch.baddbmm(bias.unsqueeze(1), x, weight)


def class_scores(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x W + b with columns of classes that do not exist, whose probability is exactly 0."""
    missing = -weight.shape[2] % _ALIGNED
    bias = functional.pad(bias, (0, missing), value=NO_CLASS)
    return affine(x, functional.pad(weight, (0, missing)), bias)
