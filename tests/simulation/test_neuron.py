"""The compiled engine against PyTorch: autograd for the gradient, torch.optim.SGD for the step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numba import uint32

from epochs_left.dynamics.criterion import RUNNING, Criterion, outcome_code
from epochs_left.dynamics.xor import N_EXAMPLES, XOR_INPUTS, XOR_TARGETS
from epochs_left.schema import EPOCH_MEASURES
from epochs_left.simulation.engine import EpochBlock
from epochs_left.simulation.neuron import ACTIVATIONS, NeuronEngine, NeuronRuns, OrderFork
from epochs_left.simulation.orders import PERMUTATIONS, order_index

INPUTS, TARGETS = torch.from_numpy(XOR_INPUTS), torch.from_numpy(XOR_TARGETS)
TORCH_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "abs": torch.abs,
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "tanh": torch.tanh,
}
OPTIMIZERS = {"sgd": (0.0, False), "momentum": (0.9, False), "nesterov": (0.8, True)}
# Rounding differs between the two, and online training amplifies it: so few epochs.
SHORT = Criterion(epsilon=1e-6, delta=1e-8, divergence_loss=1e6, max_epochs=30)


@dataclass(frozen=True)
class Case:
    """One run."""

    n_hidden: int
    activation: str
    theta: np.ndarray
    lr: float
    optimizer: str
    online: bool
    key: tuple[int, int]
    fork: tuple[int, tuple[int, int]] | None = None  # the epoch from which on there is another key

    def key_at(self, epoch: int) -> tuple[int, int]:
        return self.key if self.fork is None or epoch < self.fork[0] else self.fork[1]


def draw_case(n_hidden: int, activation: str, optimizer: str, online: bool, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n_params = 4 * n_hidden + 1 if n_hidden else 3
    key = tuple(rng.integers(2**32, size=2).tolist())
    theta, lr = rng.normal(size=n_params), rng.uniform(0.01, 0.1) * (1 - OPTIMIZERS[optimizer][0])
    return Case(n_hidden, activation, theta, lr, optimizer, online, key)


def outputs(case: Case, theta: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    activate, h = TORCH_ACTIVATIONS[case.activation], case.n_hidden
    if h == 0:
        return activate(inputs @ theta[:2] + theta[2])
    weights, biases, out, bias = theta.split([2 * h, h, h, 1])
    return activate(inputs @ weights.view(h, 2).T + biases) @ out + bias


def loss_of(case: Case, theta: torch.Tensor, examples: list[int]) -> torch.Tensor:
    return (outputs(case, theta, INPUTS[examples]) - TARGETS[examples]).square().mean()


def reference(case: Case, criterion: Criterion) -> tuple[np.ndarray, int]:
    """Train with PyTorch in float64; return rows (epoch, measures, parameters) and the outcome."""
    theta = torch.tensor(case.theta, requires_grad=True)
    momentum, nesterov = OPTIMIZERS[case.optimizer]
    optimizer = torch.optim.SGD([theta], lr=case.lr, momentum=momentum, nesterov=nesterov)
    everything, rows, path_length = list(range(N_EXAMPLES)), [], 0.0
    before, outputs_before = theta.detach().clone(), outputs(case, theta, INPUTS).detach()
    for epoch in itertools.count():
        loss = loss_of(case, theta, everything)
        grad_norm = torch.autograd.grad(loss, theta)[0].norm().item()
        now, outputs_now = theta.detach().clone(), outputs(case, theta, INPUTS).detach()
        update_norm = (now - before).norm().item()
        path_length += update_norm
        kl = 0.5 * (outputs_now - outputs_before).square().mean().item()
        measures = (loss.item(), grad_norm, update_norm, path_length, kl, case.lr)
        rows.append([epoch, *measures, *now.tolist()])
        limits = (criterion.epsilon, criterion.delta, criterion.divergence_loss)
        code = outcome_code(loss.item(), grad_norm, epoch, *limits, criterion.max_epochs)
        if code != RUNNING:
            return np.array(rows), code
        before, outputs_before = now, outputs_now
        order = PERMUTATIONS[order_index(epoch + 1, *map(uint32, case.key_at(epoch)))].tolist()
        for examples in [[k] for k in order] if case.online else [everything]:
            optimizer.zero_grad()
            loss_of(case, theta, examples).backward()
            optimizer.step()
    raise AssertionError("the cap ends every run")


def as_runs(cases: list[Case]) -> NeuronRuns:
    return NeuronRuns(
        n_hidden=cases[0].n_hidden,
        activation=np.array([ACTIVATIONS.index(case.activation) for case in cases]),
        params=np.stack([case.theta for case in cases]),
        lr=np.array([case.lr for case in cases]),
        momentum=np.array([OPTIMIZERS[case.optimizer][0] for case in cases]),
        nesterov=np.array([OPTIMIZERS[case.optimizer][1] for case in cases]),
        online=np.array([case.online for case in cases]),
        order_key=np.array([case.key for case in cases], dtype=np.uint32),
    )


def forked(cases: list[Case]) -> NeuronRuns:
    forks = [case.fork for case in cases if case.fork is not None]
    epochs, keys = zip(*forks, strict=True)
    fork = OrderFork(epoch=np.array(epochs), order_key=np.array(keys, dtype=np.uint32))
    return replace(as_runs(cases), fork=fork)


def copied(block: EpochBlock) -> EpochBlock:
    columns = {name: values.copy() for name, values in block.columns.items()}
    return replace(block, run=block.run.copy(), epoch=block.epoch.copy(), columns=columns)


def train(engine: NeuronEngine, chunk_runs: int = 256) -> list[EpochBlock]:
    return [copied(block) for block in engine.blocks(chunk_runs)]


def rows_of(blocks: list[EpochBlock], run: int) -> np.ndarray:
    """Rows (epoch, measures, parameters) of one run."""
    for block in blocks:
        mine = block.run == run - block.first_run
        if mine.any():
            columns = [values[mine] for values in block.columns.values()]
            return np.column_stack([block.epoch[mine], *columns])
    raise AssertionError(f"run {run} has no rows")


KINDS = [(0, "abs"), *itertools.product([2, 3], TORCH_ACTIVATIONS)]


@pytest.mark.parametrize("online", [False, True], ids=["full batch", "online"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("n_hidden", "activation"), KINDS)
def test_every_column_equals_pytorch(
    n_hidden: int, activation: str, optimizer: str, online: bool
) -> None:
    cases = [draw_case(n_hidden, activation, optimizer, online, seed) for seed in range(3)]
    engine = NeuronEngine(as_runs(cases), SHORT)
    blocks = train(engine)
    for run, case in enumerate(cases):
        expected, code = reference(case, SHORT)
        found = rows_of(blocks, run)
        assert found.shape == expected.shape
        for name, mine, theirs in zip(
            ["epoch", *EPOCH_MEASURES, *["parameter"] * case.theta.size],
            found.T,
            expected.T,
            strict=True,
        ):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-9, err_msg=name)
        assert engine.outcomes.code[run] == code
        assert engine.outcomes.epoch[run] == expected[-1, 0]
        np.testing.assert_allclose(engine.outcomes.loss[run], expected[-1, 1], rtol=1e-6)
        np.testing.assert_allclose(engine.outcomes.grad_norm[run], expected[-1, 2], rtol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("n_hidden", "activation"), KINDS)
def test_a_fork_changes_the_orders_from_its_epoch_on(
    n_hidden: int, activation: str, optimizer: str
) -> None:
    cases = [
        replace(draw_case(n_hidden, activation, optimizer, True, seed), fork=(epoch, (seed, 9)))
        for seed, epoch in enumerate([0, 1, 5])
    ]
    trunks = train(NeuronEngine(as_runs(cases), SHORT))
    branches = train(NeuronEngine(forked(cases), SHORT))
    for run, epoch in enumerate([0, 1, 5]):
        expected, _ = reference(cases[run], SHORT)
        found, trunk = rows_of(branches, run), rows_of(trunks, run)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
        np.testing.assert_array_equal(found[: epoch + 1], trunk[: epoch + 1])
        assert not np.array_equal(found[: epoch + 4, 7:], trunk[: epoch + 4, 7:])


def test_long_full_batch_run_keeps_equal_to_pytorch() -> None:
    criterion = replace(SHORT, max_epochs=400)
    case = replace(draw_case(0, "abs", "sgd", False, 11), lr=0.01)
    blocks = train(NeuronEngine(as_runs([case]), criterion))
    expected, _ = reference(case, criterion)
    assert len(expected) > 200
    np.testing.assert_allclose(rows_of(blocks, 0), expected, rtol=1e-5, atol=1e-9)


def test_abs_unit_is_the_hidden_network_with_fixed_output() -> None:
    """Its loss and gradient are those of one abs unit with a = 1 and c = 0."""
    unit = draw_case(0, "abs", "sgd", False, 0)
    theta = np.concatenate([unit.theta, [1.0, 0.0]])
    network = replace(unit, n_hidden=1, theta=theta)
    once = replace(SHORT, max_epochs=1)
    alone = rows_of(train(NeuronEngine(as_runs([unit]), once)), 0)
    hidden = rows_of(train(NeuronEngine(as_runs([network]), once)), 0)
    assert alone[0, 1] == pytest.approx(hidden[0, 1])
    gradient = (theta - hidden[1, 7:]) / unit.lr
    np.testing.assert_allclose((unit.theta - alone[1, 7:]) / unit.lr, gradient[:3], rtol=1e-4)


@pytest.mark.parametrize("theta", [[0.0, 0.0, 0.0], [0.5, 0.5, 1.0], [1.0, 1.0, 0.0]])
def test_the_derivative_of_abs_at_zero_is_zero(theta: list[float]) -> None:
    case = replace(draw_case(0, "abs", "sgd", False, 0), theta=np.array(theta))
    expected, _ = reference(case, SHORT)
    found = rows_of(train(NeuronEngine(as_runs([case]), SHORT)), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


@pytest.fixture(scope="module")
def mixed_cases() -> list[Case]:
    kinds = itertools.product(OPTIMIZERS, [False, True], range(8))
    return [draw_case(0, "abs", optimizer, online, seed) for optimizer, online, seed in kinds]


@pytest.mark.parametrize("chunk_runs", [1, 7, 1000])
def test_blocks_do_not_depend_on_the_chunk(mixed_cases: list[Case], chunk_runs: int) -> None:
    once = train(NeuronEngine(as_runs(mixed_cases), SHORT, block_rows=100), 5)
    again = train(NeuronEngine(as_runs(mixed_cases), SHORT, block_rows=100), chunk_runs)
    assert len(once) == len(again) > 3
    for one, other in zip(once, again, strict=True):
        assert (one.first_run, one.n_runs) == (other.first_run, other.n_runs)
        np.testing.assert_array_equal(one.run, other.run)
        for name, values in one.columns.items():
            np.testing.assert_array_equal(values, other.columns[name], err_msg=name)


@pytest.mark.parametrize("block_rows", [1, 64, 1 << 12])
def test_rows_do_not_depend_on_the_block_or_the_neighbours(
    mixed_cases: list[Case], block_rows: int
) -> None:
    together = train(NeuronEngine(as_runs(mixed_cases), SHORT, block_rows=block_rows))
    for run, case in enumerate(mixed_cases):
        alone = train(NeuronEngine(as_runs([case]), SHORT))
        np.testing.assert_array_equal(rows_of(together, run), rows_of(alone, 0))


def test_blocks_hold_whole_runs_in_order(mixed_cases: list[Case]) -> None:
    engine = NeuronEngine(as_runs(mixed_cases), SHORT, block_rows=50)
    blocks = train(engine)
    starts = [block.first_run for block in blocks]
    assert starts == list(np.cumsum([0, *[block.n_runs for block in blocks]])[:-1])
    for block in blocks:
        lengths = np.bincount(block.run, minlength=block.n_runs)
        members = slice(block.first_run, block.first_run + block.n_runs)
        np.testing.assert_array_equal(lengths, engine.outcomes.epoch[members] + 1)
        np.testing.assert_array_equal(block.epoch, np.concatenate([np.arange(n) for n in lengths]))
        assert np.all(np.diff(block.run) >= 0)


def test_path_length_is_the_sum_of_the_updates(mixed_cases: list[Case]) -> None:
    blocks = train(NeuronEngine(as_runs(mixed_cases), SHORT))
    updates, path = (EPOCH_MEASURES.index(name) + 1 for name in ("update_norm", "path_length"))
    for run in range(len(mixed_cases)):
        rows = rows_of(blocks, run)
        np.testing.assert_allclose(rows[:, path], np.cumsum(rows[:, updates]), rtol=1e-5)
        np.testing.assert_allclose(
            rows[1:, updates], np.linalg.norm(np.diff(rows[:, 7:], axis=0), axis=1), atol=1e-6
        )
