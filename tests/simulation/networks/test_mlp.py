"""Perceptrons in lanes: gradients by hand against autograd, and lanes that do not touch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from epochs_left.simulation.networks import Examples, views
from epochs_left.simulation.networks.mlp import MlpLanes
from epochs_left.workloads.mlp import ACTIVATIONS, Mlp, layer_sizes

TORCH_ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "abs": torch.abs,
}
N_TRAIN = 30
NO_STATE = torch.zeros(0)
#: Architectures of each loss; 3 and 10 classes are padded to 16, 16 and 32 are not.
SHAPES = [
    ("cross_entropy", "6-16-3"),
    ("cross_entropy", "6-16-16-10"),
    ("cross_entropy", "6-8-16"),
    ("binary", "2-16-16-16-1"),
    ("squared", "10-16-1"),
    ("squared", "10-1"),
]


def examples_of(loss: str, architecture: str, seed: int = 0) -> Examples:
    sizes, rng = layer_sizes(architecture), np.random.default_rng(seed)
    inputs = torch.from_numpy(rng.normal(size=(N_TRAIN, sizes[0])).astype(np.float32))
    targets = {
        "cross_entropy": rng.integers(0, sizes[-1], N_TRAIN),
        "binary": rng.integers(0, 2, N_TRAIN).astype(np.float32),
        "squared": rng.normal(size=N_TRAIN).astype(np.float32),
    }[loss]
    labels = torch.from_numpy(targets)
    return Examples(
        loss=loss,
        inputs=inputs,
        targets=labels,
        valid_inputs=inputs,
        valid_targets=labels,
        n_outputs=sizes[-1],
    )


class Lanes:
    """Lanes of one architecture with random parameters and batches, sorted by activation."""

    def __init__(self, loss: str, architecture: str, k: int, batch: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.architecture, self.examples = architecture, examples_of(loss, architecture)
        self.tensors = Mlp().tensors(architecture)
        n_params = sum(tensor.size for tensor in self.tensors)
        self.params = torch.from_numpy(0.4 * rng.normal(size=(k, n_params)).astype(np.float32))
        self.index = torch.from_numpy(rng.integers(0, N_TRAIN, (k, batch)))
        self.keys = sorted(rng.integers(0, len(ACTIVATIONS), k).tolist())

    def activation(self, lane: int) -> str:
        return ACTIVATIONS[self.keys[lane]]

    def run(self, lanes: slice = slice(None)) -> tuple[torch.Tensor, ...]:
        """Return loss, gradient and outputs of some lanes, as a block of their own."""
        network = MlpLanes(self.tensors, self.examples)
        network.arrange(self.keys[lanes])
        params, index = self.params[lanes].clone(), self.index[lanes]
        loss, grad = network.loss_and_grad(params, NO_STATE, index, torch.empty_like(params))
        outputs = network.outputs(params, NO_STATE, self.examples.valid_inputs)
        return loss, grad.clone(), outputs

    def outputs_by_torch(self, lane: int, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        *hidden, weight, bias = [part[0] for part in views(theta.unsqueeze(0), self.tensors)]
        for hidden_weight, hidden_bias in zip(hidden[::2], hidden[1::2], strict=True):
            x = TORCH_ACTIVATIONS[self.activation(lane)](x @ hidden_weight + hidden_bias)
        return x @ weight + bias

    def by_torch(self, lane: int) -> tuple[torch.Tensor, ...]:
        """Return loss, gradient and outputs of one model, in float64 and by autograd."""
        theta = self.params[lane].double().requires_grad_()
        inputs, targets = self.examples.inputs.double(), self.examples.targets
        batch = self.index[lane]
        scores = self.outputs_by_torch(lane, theta, inputs[batch])
        if self.examples.loss == "cross_entropy":
            loss = functional.cross_entropy(scores, targets[batch])
        elif self.examples.loss == "binary":
            label = targets[batch].double()
            loss = functional.binary_cross_entropy_with_logits(scores[:, 0], label)
        else:
            loss = functional.mse_loss(scores[:, 0], targets[batch].double())
        (gradient,) = torch.autograd.grad(loss, theta)
        return loss.detach(), gradient, self.outputs_by_torch(lane, theta, inputs).detach()


@pytest.mark.parametrize("batch", [1, 7, 30])
@pytest.mark.parametrize(("loss", "architecture"), SHAPES)
def test_loss_gradient_and_outputs_equal_autograd(loss: str, architecture: str, batch: int) -> None:
    lanes = Lanes(loss, architecture, k=12, batch=batch)
    found = lanes.run()
    for lane in range(12):
        for part, expected in zip(found, lanes.by_torch(lane), strict=True):
            torch.testing.assert_close(part[lane].double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize(("loss", "architecture"), SHAPES)
def test_a_lane_has_the_same_bytes_among_any_neighbours(
    loss: str, architecture: str, batch: int
) -> None:
    for seed in range(4):
        lanes = Lanes(loss, architecture, k=24, batch=batch, seed=seed)
        together = lanes.run()
        for first, last in ((0, 2), (1, 4), (5, 12), (7, 9), (9, 24), (22, 24)):
            some = slice(first, last)
            for whole, part in zip(together, lanes.run(some), strict=True):
                assert whole[some].numpy().tobytes() == part.numpy().tobytes()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_rounds_alike_in_every_lane(activation: str) -> None:
    """PyTorch has one loop for the body of a tensor, and another one for its tail."""
    lanes = Lanes("squared", "10-20-1", k=40, batch=1)
    lanes.keys = [ACTIVATIONS.index(activation)] * 40
    for seed in range(10):
        rng = np.random.default_rng(seed)
        lanes.params[:] = torch.from_numpy(rng.normal(size=lanes.params.shape))
        together = lanes.run()
        for k in (2, 3, 5, 7):
            for first in range(0, 40 - k, k):
                some = slice(first, first + k)
                for whole, part in zip(together, lanes.run(some), strict=True):
                    assert torch.equal(whole[some], part)


def test_a_lane_that_is_not_finite_changes_no_other() -> None:
    lanes = Lanes("cross_entropy", "6-16-16-10", k=8, batch=5)
    expected = lanes.run()
    for bad in (np.nan, np.inf, 1e38):
        lanes.params[3] = bad
        for whole, found in zip(expected, lanes.run(), strict=True):
            others = [0, 1, 2, 4, 5, 6, 7]
            assert torch.equal(whole[others], found[others])


def test_the_derivative_of_abs_and_relu_at_zero_is_zero() -> None:
    """Where a hidden unit's input is exactly 0, its weights do not move."""
    lanes = Lanes("squared", "10-16-1", k=2, batch=5)
    lanes.keys = sorted(ACTIVATIONS.index(name) for name in ("relu", "abs"))
    lanes.params[:, : 11 * 16] = 0
    _, gradient, _ = lanes.run()
    assert (gradient[:, : 11 * 16] == 0).all()
    assert (gradient[:, -1] != 0).all()


def test_new_parameters_in_the_same_place_are_seen() -> None:
    """Lanes keep views of their tensors from step to step."""
    lanes = Lanes("binary", "2-16-1", k=3, batch=4)
    network = MlpLanes(lanes.tensors, lanes.examples)
    network.arrange(lanes.keys)
    grad = torch.empty_like(lanes.params)
    for seed in range(6):
        if seed % 2:
            lanes.params = torch.randn_like(lanes.params)
            grad = torch.empty_like(grad)
        lanes.params.mul_(1.1)
        loss, found = network.loss_and_grad(lanes.params, NO_STATE, lanes.index, grad)
        expected_loss, expected, _ = lanes.run()
        assert torch.equal(loss, expected_loss)
        assert torch.equal(found, expected)
