"""Networks in lockstep: K lanes, one model each, a step of all at a time. One file a family.

A lane's arithmetic never depends on the others: products are batched matrix products or grouped
convolutions, everything else is elementwise or a sum within the lane. So a run has the same bytes
whichever runs share its block; tests hold every network to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from epochs_left.registry import Registry
from epochs_left.workloads import Tensor as TensorSpec


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples of a task on the device."""

    loss: str
    inputs: Tensor
    targets: Tensor
    valid_inputs: Tensor
    valid_targets: Tensor
    n_outputs: int


class LaneNetwork(Protocol):
    """K models of one architecture.

    Parameters are passed in, shape ``(K, n_params)``, contiguous; so is the untrained state
    (running statistics), shape ``(K, n_state)``, which training updates in place.
    """

    #: The number of lanes is a multiple of it, so that kernels round alike for any number.
    lane_step: ClassVar[int]

    @property
    def n_state(self) -> int:
        """Width of the untrained state; 0 where there is none."""
        ...

    def initial_state(self) -> Tensor:
        """Return the untrained state of one model at its start, shape ``(n_state,)``."""
        ...

    def sort_key(self, activation: str) -> int:
        """Return a small integer; lanes are kept sorted by it, so that equal ones are adjacent."""
        ...

    def arrange(self, keys: list[int]) -> None:
        """Take note of the sort keys of the K lanes, ascending."""
        ...

    def loss_and_grad(
        self, params: Tensor, state: Tensor, index: Tensor, grad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss of each lane's batch and its gradient.

        Parameters
        ----------
        params, state
            As above.
        index
            The training examples of each lane's batch, shape ``(K, B)``, int64.
        grad
            Where the gradient may be written, shape ``(K, n_params)``.

        Returns
        -------
        Loss, shape ``(K,)``, and gradient, shape ``(K, n_params)``.
        """
        ...

    def outputs(self, params: Tensor, state: Tensor, inputs: Tensor) -> Tensor:
        """Return outputs in evaluation mode, shape ``(K, targets, n_outputs)``.

        ``inputs`` are shared by all lanes, first axis the example.
        """
        ...


#: Builds a network: (tensors, architecture, examples) -> network.
Build = Callable[[tuple[TensorSpec, ...], str, Examples], LaneNetwork]

NETWORKS: Registry[Build] = Registry(
    "network",
    __name__,
    remedy="a family's arithmetic is simulation/networks/<family>.py with @network(<family>)",
)


def network(family: str) -> Callable[[Build], Build]:
    """Register what builds the networks of a workload family."""

    def register(build: Build) -> Build:
        NETWORKS.add(family, build)
        return build

    return register


def views(flat: Tensor, tensors: tuple[TensorSpec, ...]) -> list[Tensor]:
    """Return the tensors of each lane as views of ``flat``, each of shape ``(K, *shape)``."""
    parts = torch.split(flat, [tensor.size for tensor in tensors], dim=1)
    shapes = [(len(flat), *tensor.shape) for tensor in tensors]
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
