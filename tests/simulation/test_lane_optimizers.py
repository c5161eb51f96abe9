"""Update rules in lanes against torch.optim, one model at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pytest
import torch

from epochs_left.simulation.lane_optimizers import (
    RULES,
    LaneSlice,
    hyper_row,
    rule_at,
    rule_index,
)
from epochs_left.workloads._networks import OPTIMIZERS, WEIGHT_DECAY_MODES

TorchStep = Callable[..., Callable[[float], None]]
N_PARAMS, N_EPOCHS, STEPS_AN_EPOCH = 13, 5, 10
N_STEPS = N_EPOCHS * STEPS_AN_EPOCH
SEEDS = range(3)


@dataclass(frozen=True)
class Lane:
    """One model: its optimizer, and a stream of gradients that its parameters do not touch."""

    optimizer: str
    lr: float
    momentum: float
    weight_decay: float
    weight_decay_mode: str
    seed: int

    def rate(self, epoch: int) -> float:
        """Return the learning rate in force: a schedule changes it."""
        return self.lr / (1 + epoch)

    def draws(self) -> torch.Tensor:
        """Return theta_0 and the gradients, a row a step."""
        rng = np.random.default_rng(self.seed)
        return torch.from_numpy(rng.normal(size=(1 + N_STEPS, N_PARAMS)).astype(np.float32))


def draw_lanes(optimizers: Sequence[str], seed: int) -> list[Lane]:
    """Two lanes for each optimizer and mode of decay, with hyperparameters of their own."""
    rng = np.random.default_rng(seed)
    kinds = itertools.product(optimizers, WEIGHT_DECAY_MODES, range(2))
    return [
        Lane(
            optimizer,
            lr=10 ** rng.uniform(-3, -1),
            momentum=rng.uniform(0.5, 0.99) if optimizer not in {"sgd", "rmsprop"} else 0.0,
            weight_decay=10 ** rng.uniform(-3, -1),
            weight_decay_mode=mode,
            seed=int(rng.integers(1 << 30)),
        )
        for optimizer, mode, _ in kinds
    ]


def reference(lane: Lane, torch_step: TorchStep) -> np.ndarray:
    """Train in float64; return the parameters after each step, shape ``(N_STEPS, N_PARAMS)``."""
    start, *gradients = lane.draws().double()
    theta = start.clone().requires_grad_()
    take_step = torch_step([theta], asdict(lane))
    path = []
    for number, gradient in enumerate(gradients):
        theta.grad = gradient.clone()
        take_step(lane.rate(number // STEPS_AN_EPOCH))
        path.append(theta.detach().numpy().copy())
    return np.stack(path)


def train(lanes: Sequence[Lane], poisoned: Sequence[int] = ()) -> np.ndarray:
    """Train lanes of one rule together; return parameters, ``(N_STEPS, lanes, N_PARAMS)``."""
    draws = torch.stack([lane.draws() for lane in lanes])
    for lane in poisoned:
        draws[lane, 5:] = torch.tensor([np.nan, np.inf, -1e38]).repeat(5)[:N_PARAMS]
    block = slice_of(lanes, draws[:, 0])
    path = []
    for epoch in range(N_EPOCHS):
        block.lr[:, 0] = torch.tensor([lane.rate(epoch) for lane in lanes])
        step = rule_at(rule_index(lanes[0].optimizer))(block, STEPS_AN_EPOCH)
        for number in range(STEPS_AN_EPOCH):
            block.grad.copy_(draws[:, 1 + len(path)])
            step(number)
            path.append(block.params.numpy().copy())
        block.steps.add_(STEPS_AN_EPOCH)
    return np.stack(path)


def slice_of(lanes: Sequence[Lane], start: torch.Tensor) -> LaneSlice:
    """Return lanes of one rule at their start."""
    assert len({rule_index(lane.optimizer) for lane in lanes}) == 1
    rows = [
        hyper_row(lane.optimizer, lane.momentum, lane.weight_decay, lane.weight_decay_mode)
        for lane in lanes
    ]
    zeros, column = torch.zeros_like(start), torch.zeros(len(lanes), 1)
    return LaneSlice(
        params=start.clone(),
        grad=zeros.clone(),
        first=zeros.clone(),
        second=zeros.clone(),
        lr=column.clone(),
        steps=column.double(),
        **{name: torch.tensor([[row[name]] for row in rows]) for name in rows[0]},
    )


#: Optimizers that share a rule train in one call.
TOGETHER = [
    [name for name in RULES if rule_index(name) == rule]
    for rule in sorted({rule_index(name) for name in RULES})
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("optimizers", TOGETHER, ids="+".join)
def test_every_lane_follows_torch_optim(
    optimizers: list[str], seed: int, torch_step: TorchStep
) -> None:
    lanes = draw_lanes(optimizers, seed)
    path = train(lanes)
    for number, lane in enumerate(lanes):
        np.testing.assert_allclose(
            path[:, number], reference(lane, torch_step), rtol=2e-4, atol=2e-6, err_msg=str(lane)
        )


@pytest.mark.parametrize("optimizers", TOGETHER, ids="+".join)
@pytest.mark.parametrize("n_lanes", [1, 2, 3, 5])
def test_a_lane_has_the_same_bytes_among_any_neighbours(
    optimizers: list[str], n_lanes: int
) -> None:
    lanes = draw_lanes(optimizers, 0)
    together = train(lanes)
    for first in range(0, len(lanes) - n_lanes + 1, n_lanes):
        members = slice(first, first + n_lanes)
        assert train(lanes[members]).tobytes() == together[:, members].tobytes()
    reverse = train(lanes[::-1])[:, ::-1]
    assert reverse.tobytes() == together.tobytes()


@pytest.mark.parametrize("optimizers", TOGETHER, ids="+".join)
def test_a_lane_that_is_not_finite_changes_no_other(optimizers: list[str]) -> None:
    lanes = draw_lanes(optimizers, 1)
    whole = [lane for lane in range(len(lanes)) if lane % 2]
    broken = [lane for lane in range(len(lanes)) if lane % 2 == 0]
    path = train(lanes, poisoned=broken)
    assert path[:, whole].tobytes() == train(lanes)[:, whole].tobytes()
    assert not np.isfinite(path[-1, broken]).all(axis=1).any()


@pytest.mark.parametrize("optimizers", TOGETHER, ids="+".join)
def test_gradients_are_left_as_they_were(optimizers: list[str]) -> None:
    lanes = draw_lanes(optimizers, 2)
    gradient = torch.stack([lane.draws()[1] for lane in lanes])
    block = slice_of(lanes, torch.ones_like(gradient))
    block.grad.copy_(gradient)
    block.lr.fill_(0.1)
    rule_at(rule_index(optimizers[0]))(block, 1)(0)
    assert torch.equal(block.grad, gradient)
    assert not torch.equal(block.params, torch.ones_like(gradient))


@pytest.mark.parametrize("seed", SEEDS)
def test_momentum_of_zero_is_plain_descent(seed: int) -> None:
    plain = Lane("sgd", 0.03, 0.0, 0.01, "coupled", seed)
    for name in ("momentum", "nesterov"):
        heavy = Lane(name, 0.03, 0.0, 0.01, "coupled", seed)
        np.testing.assert_allclose(train([heavy]), train([plain]), rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999])
def test_first_step_of_adam_is_the_learning_rate_long(beta: float) -> None:
    """Kingma and Ba 2015, section 2.1: the bias correction cancels the decay rates."""
    lane = Lane("adam", 0.01, beta, 0.0, "none", 4)
    start, gradient, *_ = lane.draws().numpy()
    np.testing.assert_allclose(train([lane])[0, 0], start - 0.01 * np.sign(gradient), atol=1e-6)


def test_the_rules_are_those_that_the_sweeps_draw_from() -> None:
    assert set(RULES) == set(OPTIMIZERS)
    for name, (rule, _) in RULES.items():
        assert rule_at(rule_index(name)) is rule


@pytest.mark.parametrize("optimizer", RULES)
def test_decay_is_either_coupled_or_decoupled(optimizer: str) -> None:
    rows = {mode: hyper_row(optimizer, 0.9, 0.01, mode) for mode in WEIGHT_DECAY_MODES}
    found = {mode: (row["coupled"], row["decoupled"]) for mode, row in rows.items()}
    assert found == {"none": (0, 0), "coupled": (0.01, 0), "decoupled": (0, 0.01)}
