"""The lockstep engine against one model at a time in PyTorch, and its independence of the block."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence
from torch.nn import functional

from epochs_left.config import parse_settings
from epochs_left.dynamics.criterion import (
    CAPPED,
    CONVERGED,
    DIVERGED,
    RUNNING,
    STUCK,
    outcome_code,
)
from epochs_left.dynamics.schedules import SCHEDULES
from epochs_left.schema import VALIDATED_MEASURES
from epochs_left.simulation.engine import EpochBlock, Outcomes, TrainingJob
from epochs_left.simulation.lockstep import LockstepEngine
from epochs_left.simulation.orders import shuffled_orders
from epochs_left.workloads import TaskData
from epochs_left.workloads._networks import OPTIMIZERS, WEIGHT_DECAY_MODES
from epochs_left.workloads._sweep import order_keys
from epochs_left.workloads.mlp import ACTIVATIONS, Mlp, MlpSettings, layer_sizes

ROOT_SEED = 3
N_TRAIN = 24
TORCH_ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "abs": torch.abs,
}
#: Odd sizes, so that no lane begins where the hardware would like it to.
ARCHITECTURES = {"binary": "5-16-8-1", "cross_entropy": "6-16-8-4", "squared": "3-12-1"}
TorchStep = Callable[..., Callable[[float], None]]
Run = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Examples and an architecture that fits them."""

    name: str
    data: TaskData
    architecture: str


def make_task(loss: str, architecture: str, n_valid: int = 10, seed: int = 0) -> Task:
    sizes, rng = layer_sizes(architecture), np.random.default_rng(seed)
    n = N_TRAIN + n_valid
    inputs = rng.normal(size=(n, sizes[0])).astype(np.float32)
    targets = {
        "binary": rng.integers(0, 2, n).astype(np.float32),
        "cross_entropy": rng.integers(0, sizes[-1], n),
        "squared": rng.normal(size=n).astype(np.float32),
    }[loss]
    data = TaskData(
        loss=loss,
        inputs=inputs[:N_TRAIN],
        targets=targets[:N_TRAIN],
        valid_inputs=inputs[N_TRAIN:],
        valid_targets=targets[N_TRAIN:],
        n_outputs=sizes[-1],
    )
    return Task(loss, data, architecture)


TASKS = {loss: make_task(loss, name) for loss, name in ARCHITECTURES.items()}
#: Square layers of a width that matrix products have kernels of their own for.
SQUARE = make_task("cross_entropy", "30-32-32-10")


def make_run(task: Task, number: int, **settings: Any) -> Run:
    """Return a run with the columns that the engine reads."""
    chosen = {
        "activation": "tanh",
        "optimizer": "sgd",
        "lr": 0.05,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "weight_decay_mode": "none",
        "lr_schedule": "constant",
        "init_scheme": "he",
        "batch_size": 8,
        "max_epochs": 4,
        "epsilon": 0.0,
        "delta": 0.0,
    }
    identifier = hashlib.blake2b(f"{task.name} {number}".encode(), digest_size=8).hexdigest()
    fixed = {"run_id": identifier, "lineage_id": identifier, "task": task.name}
    return {**fixed, "architecture": task.architecture, **chosen, **settings}


def draw_runs(task: Task, n: int, seed: int, **settings: Any) -> list[Run]:
    """Draw optimizer x weight decay x activation x schedule without replacement, and the rest."""
    rng = np.random.default_rng(seed)
    kinds = list(itertools.product(OPTIMIZERS, WEIGHT_DECAY_MODES, ACTIVATIONS, SCHEDULES))
    runs = []
    for number, index in enumerate(rng.permutation(len(kinds))[:n].tolist()):
        optimizer, mode, activation, schedule = kinds[index]
        adaptive = OPTIMIZERS[optimizer] == "adaptive"
        momentum = {"sgd": 0.0, "rmsprop": 0.0, "adam": 0.9, "adamw": 0.9}.get(optimizer)
        if momentum is None:
            momentum = rng.uniform(0.5, 0.95)
        drawn = {
            "activation": activation,
            "optimizer": optimizer,
            "lr": (0.003 if adaptive else 0.03 * (1 - momentum)) * rng.uniform(0.3, 1.5),
            "momentum": momentum,
            "weight_decay": 0.0 if mode == "none" else rng.uniform(0.01, 0.3),
            "weight_decay_mode": mode,
            "lr_schedule": schedule,
            "batch_size": int(rng.choice([1, 8, N_TRAIN])),
        }
        runs.append(make_run(task, 1_000 * seed + number, **{**drawn, **settings}))
    return runs


@pytest.fixture(scope="module")
def settings(small_params: dict[str, Any]) -> MlpSettings:
    """What the engine reads of them: lanes and the bound of divergence."""
    parsed = parse_settings(MlpSettings, small_params["mlp"], "mlp")
    return replace(parsed, lanes=32, divergence_loss=1e6)


@pytest.fixture(autouse=True)
def _denormals_again() -> Iterator[None]:
    """The engine flushes denormals for the whole process; other tests want them."""
    yield
    torch.set_flush_denormal(False)


Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Trained:
    """Blocks of an engine, and its outcomes."""

    blocks: list[EpochBlock]
    outcomes: Outcomes

    def rows(self) -> list[Rows]:
        """Return the columns of each run, in order."""
        return [
            {name: values[block.run == run] for name, values in block.columns.items()}
            for block in self.blocks
            for run in range(block.n_runs)
        ]

    def outcome(self, run: int) -> tuple[bytes, ...]:
        """Return all that is said of how a run ended; NaN equals NaN."""
        found = self.outcomes
        return tuple(
            each[run].tobytes() for each in (found.code, found.epoch, found.loss, found.grad_norm)
        )


def train(task: Task, runs: Sequence[Run], settings: MlpSettings, **options: Any) -> Trained:
    job = TrainingJob(
        runs=pa.Table.from_pylist(list(runs)),
        settings=settings,
        root_seed=ROOT_SEED,
        data={task.name: task.data},
    )
    engine = LockstepEngine(Mlp(), job, **options)
    blocks = [replace(block, columns=dict(block.columns)) for block in engine.blocks(1)]
    return Trained(blocks, engine.outcomes)


# One model at a time


def multiplier(schedule: str, progress: float) -> float:
    """Return the learning rate in force over the base rate, as the papers give it."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "step":
        return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
    if schedule == "one_cycle" and progress < 0.3:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / 0.3))
    if schedule == "one_cycle":
        return 0.5 * (1 + math.cos(math.pi * (progress - 0.3) / 0.7))
    return 1.0


def order_of(run: Run, epoch: int) -> np.ndarray:
    """Return the engine's own sample order."""
    if run["batch_size"] == N_TRAIN:
        return np.arange(N_TRAIN)
    order = np.empty((1, N_TRAIN), dtype=np.int64)
    key = order_keys(pa.table({"run_id": [run["run_id"]]}), ROOT_SEED)
    shuffled_orders(key, np.array([epoch]), order)
    return order[0]


class Model:
    """A perceptron of torch.nn in float64, on the examples of a task."""

    def __init__(self, run: Run, task: Task, theta: np.ndarray) -> None:
        self.run, self.data = run, task.data
        self.layers = torch.nn.ModuleList()
        start = 0
        for n_in, n_out in itertools.pairwise(layer_sizes(task.architecture)):
            layer = torch.nn.Linear(n_in, n_out, dtype=torch.float64)
            weight = theta[start : start + n_in * n_out].reshape(n_in, n_out)
            bias = theta[start + n_in * n_out : start + (n_in + 1) * n_out]
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight.T.copy()))
                layer.bias.copy_(torch.from_numpy(bias.copy()))
            self.layers.append(layer)
            start += (n_in + 1) * n_out

    def outputs(self, inputs: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(inputs).double()
        *hidden, last = self.layers
        for layer in hidden:
            x = TORCH_ACTIVATIONS[self.run["activation"]](layer(x))
        result: torch.Tensor = last(x)
        return result

    def loss(self, inputs: np.ndarray, targets: np.ndarray) -> torch.Tensor:
        outputs, labels = self.outputs(inputs), torch.from_numpy(targets)
        if self.data.loss == "cross_entropy":
            return functional.cross_entropy(outputs, labels)
        if self.data.loss == "binary":
            return functional.binary_cross_entropy_with_logits(outputs[:, 0], labels.double())
        return functional.mse_loss(outputs[:, 0], labels.double())

    def predictions(self) -> torch.distributions.Distribution:
        outputs = self.outputs(self.data.valid_inputs[:64]).detach()
        if self.data.loss == "cross_entropy":
            return Categorical(logits=outputs)
        one = outputs[:, 0]
        return Bernoulli(logits=one) if self.data.loss == "binary" else Normal(one, 1.0)

    def valid_metric(self) -> float:
        outputs, targets = self.outputs(self.data.valid_inputs).detach(), self.data.valid_targets
        if self.data.loss == "cross_entropy":
            return float(np.mean(outputs.argmax(1).numpy() == targets))
        if self.data.loss == "binary":
            return float(np.mean((outputs[:, 0].numpy() > 0) == (targets > 0.5)))
        residual = np.mean((outputs[:, 0].numpy() - targets) ** 2)
        return float(1 - residual / targets.astype(np.float64).var())

    def gradient(self, batch: np.ndarray) -> torch.Tensor:
        """Set the gradients to those of a batch; return them as one vector."""
        for parameter in self.layers.parameters():
            parameter.grad = None
        self.loss(self.data.inputs[batch], self.data.targets[batch]).backward()
        return torch.cat([p.grad.flatten() for p in self.layers.parameters() if p.grad is not None])

    def params(self) -> np.ndarray:
        """Return the parameters in the order in which they are recorded."""
        parts = [(layer.weight.detach().T, layer.bias.detach()) for layer in self.layers]
        return np.concatenate([part.numpy().ravel() for pair in parts for part in pair])


def reference(run: Run, task: Task, theta: np.ndarray, torch_step: TorchStep) -> Rows:
    """Train one run as a user of PyTorch would; return its rows."""
    model, data = Model(run, task, theta), task.data
    take_step = torch_step(model.layers.parameters(), run)
    before, predicted, path_length, rows = theta, model.predictions(), 0.0, []
    for epoch in range(run["max_epochs"] + 1):
        lr = run["lr"] * multiplier(run["lr_schedule"], min((epoch + 0.5) / run["max_epochs"], 1.0))
        batches = order_of(run, epoch).reshape(-1, run["batch_size"])
        now, predicted_now = model.params(), model.predictions()
        update_norm = float(np.linalg.norm(now - before))
        path_length += update_norm
        row = {
            "loss": model.loss(data.inputs, data.targets).item(),
            "grad_norm": model.gradient(batches[0]).norm().item(),
            "update_norm": update_norm,
            "path_length": path_length,
            "probe_kl": kl_divergence(predicted, predicted_now).mean().item(),
            "lr": lr,
            "valid_loss": model.loss(data.valid_inputs, data.valid_targets).item(),
            "valid_metric": model.valid_metric(),
            "params": now,
        }
        rows.append(row)
        before, predicted = now, predicted_now
        for batch in batches:
            model.gradient(batch)
            take_step(lr)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def initial(runs: Sequence[Run]) -> np.ndarray:
    return Mlp().initial_params(pa.Table.from_pylist(list(runs)), ROOT_SEED)


#: Adam divides by what may be near 0: rounding of single parameters is that of a step.
ATOL = {"params": 3e-5}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_column_equals_one_model_at_a_time(
    task: Task, seed: int, settings: MlpSettings, torch_step: TorchStep
) -> None:
    runs = draw_runs(task, 32, seed)
    found, starts = train(task, runs, settings).rows(), initial(runs)
    for run, rows, theta in zip(runs, found, starts, strict=True):
        expected = reference(run, task, theta, torch_step)
        assert set(rows) == set(expected) == {*VALIDATED_MEASURES, "params"}
        for name, values in expected.items():
            np.testing.assert_allclose(
                rows[name], values, rtol=1e-3, atol=ATOL.get(name, 2e-6), err_msg=f"{name}: {run}"
            )


def test_probe_set_is_the_first_held_out_examples(
    settings: MlpSettings, torch_step: TorchStep
) -> None:
    task = make_task("binary", "5-16-8-1", n_valid=100)
    runs = draw_runs(task, 4, 9)
    found, starts = train(task, runs, settings).rows(), initial(runs)
    for run, rows, theta in zip(runs, found, starts, strict=True):
        expected = reference(run, task, theta, torch_step)["probe_kl"]
        np.testing.assert_allclose(rows["probe_kl"], expected, rtol=1e-3, atol=1e-9)


def test_the_reference_covers_every_kind_of_run() -> None:
    drawn = [run for seed in range(3) for run in draw_runs(TASKS["binary"], 32, seed)]
    for column, names in (
        ("optimizer", OPTIMIZERS),
        ("weight_decay_mode", WEIGHT_DECAY_MODES),
        ("activation", ACTIVATIONS),
        ("lr_schedule", SCHEDULES),
        ("batch_size", [1, 8, N_TRAIN]),
    ):
        assert {run[column] for run in drawn} == set(names)
    pairs = {(run["optimizer"], run["weight_decay_mode"]) for run in drawn}
    assert len(pairs) == len(OPTIMIZERS) * len(WEIGHT_DECAY_MODES)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_full_batch_gradient_is_that_of_the_recorded_loss(
    task: Task, settings: MlpSettings
) -> None:
    """At every epoch, from the parameters of the row itself."""
    runs = draw_runs(task, 12, 4, batch_size=N_TRAIN)
    for run, rows in zip(runs, train(task, runs, settings).rows(), strict=True):
        for epoch, theta in enumerate(rows["params"]):
            model = Model(run, task, theta.astype(np.float64))
            gradient = model.gradient(np.arange(N_TRAIN))
            np.testing.assert_allclose(rows["grad_norm"][epoch], gradient.norm(), rtol=1e-4)
            loss = model.loss(task.data.inputs, task.data.targets).item()
            np.testing.assert_allclose(rows["loss"][epoch], loss, rtol=1e-5)


# Independence of the block


def assert_same_bytes(one: Rows, other: Rows, what: object) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == other[name].dtype == np.float32
        assert values.tobytes() == other[name].tobytes(), (name, what)


EPSILONS = {"binary": 0.6, "cross_entropy": 1.3, "squared": 0.9, "square": 2.0}


@pytest.fixture(scope="module", params=[*TASKS, "square"])
def mixed(request: pytest.FixtureRequest, settings: MlpSettings) -> tuple[Task, list[Run], Trained]:
    """Runs of every activation and batch size, of different lengths, trained in one block."""
    task = TASKS.get(request.param, SQUARE)
    # some runs end early: lanes are taken by others while the rest still train
    runs = draw_runs(task, 24, 5, epsilon=EPSILONS[request.param])
    kinds = itertools.cycle(itertools.product([1, 8, N_TRAIN], ACTIVATIONS))
    for run, (batch_size, activation) in zip(runs, kinds, strict=False):
        run.update(batch_size=batch_size, activation=activation, lr=5 * run["lr"])
    trained = train(task, runs, settings)
    assert len(set(trained.outcomes.epoch.tolist())) > 2
    return task, runs, trained


Mixed = tuple[Task, list[Run], Trained]


@pytest.mark.parametrize("lanes", [2, 3, 5, 8])
def test_rows_do_not_depend_on_the_number_of_lanes(
    mixed: Mixed, settings: MlpSettings, lanes: int
) -> None:
    task, runs, expected = mixed
    found = train(task, runs, replace(settings, lanes=lanes))
    for run, (one, other) in enumerate(zip(found.rows(), expected.rows(), strict=True)):
        assert_same_bytes(one, other, runs[run])
        assert found.outcome(run) == expected.outcome(run)


@pytest.mark.parametrize("seed", range(3))
def test_rows_do_not_depend_on_the_order_of_the_runs(
    mixed: Mixed, settings: MlpSettings, seed: int
) -> None:
    task, runs, expected = mixed
    order = np.random.default_rng(seed).permutation(len(runs))
    shuffled = [runs[i] for i in order]
    found = train(task, shuffled, replace(settings, lanes=5))
    for place, (run, rows) in enumerate(zip(order, found.rows(), strict=True)):
        assert_same_bytes(rows, expected.rows()[run], runs[run])
        assert found.outcome(place) == expected.outcome(run)


@pytest.mark.parametrize("seed", range(3))
def test_rows_do_not_depend_on_which_runs_share_the_block(
    mixed: Mixed, settings: MlpSettings, seed: int
) -> None:
    task, runs, expected = mixed
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(len(runs), size=7, replace=False))
    found = train(task, [runs[i] for i in some], replace(settings, lanes=4))
    for run, rows in zip(some, found.rows(), strict=True):
        assert_same_bytes(rows, expected.rows()[run], runs[run])


def test_a_run_alone_has_the_same_bytes(mixed: Mixed, settings: MlpSettings) -> None:
    task, runs, expected = mixed
    for run in range(0, len(runs), 2):
        (rows,) = train(task, [runs[run]], settings).rows()
        assert_same_bytes(rows, expected.rows()[run], runs[run])


@pytest.mark.parametrize("lanes", [2, 4, 32])
@pytest.mark.parametrize("lr", [1e12, 1e25])
def test_a_neighbour_that_diverges_changes_nothing(
    mixed: Mixed, settings: MlpSettings, lanes: int, lr: float
) -> None:
    """Neither with infinities and NaN beside the others, nor by the lane that it leaves."""
    task, runs, expected = mixed
    others = [
        make_run(
            task,
            900 + i,
            lr=lr,
            activation=name,
            init_scheme="normal",  # which starts above epsilon
            epsilon=runs[i]["epsilon"],
            batch_size=runs[i]["batch_size"],
        )
        for i, name in enumerate(["tanh", "gelu", "abs", "tanh"])
    ]
    placed = [*others[:2], *runs[:6], *others[2:], *runs[6:]]
    found = train(task, placed, replace(settings, lanes=lanes))
    codes = found.outcomes.code
    assert (codes[[0, 1, 8, 9]] == DIVERGED).all()
    kept = [*range(2, 8), *range(10, len(placed))]
    for run, place in enumerate(kept):
        assert_same_bytes(found.rows()[place], expected.rows()[run], runs[run])
        assert found.outcome(place) == expected.outcome(run)


@pytest.mark.parametrize("n_runs", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("lanes", [2, 4])
def test_lanes_without_a_run_do_no_harm(settings: MlpSettings, n_runs: int, lanes: int) -> None:
    """Runs end at the cap together, and the last ones have idle lanes beside them."""
    task = TASKS["binary"]
    runs = [make_run(task, number) for number in range(n_runs)]
    together = train(task, runs, replace(settings, lanes=lanes))
    assert (together.outcomes.code == CAPPED).all()
    for run, rows in zip(runs, together.rows(), strict=True):
        assert_same_bytes(rows, train(task, [run], settings).rows()[0], run)


# Outcomes


def limits_of(run: Run, settings: MlpSettings) -> tuple[float, float, float, int]:
    delta = run["delta"] if run["batch_size"] == N_TRAIN else 0.0
    return run["epsilon"], delta, settings.divergence_loss, run["max_epochs"]


@pytest.mark.parametrize("seed", range(3))
def test_a_run_ends_at_the_first_epoch_at_which_the_criterion_holds(
    settings: MlpSettings, seed: int
) -> None:
    task, settings = TASKS["squared"], replace(settings, divergence_loss=4.0)
    runs = draw_runs(task, 40, seed, epsilon=0.7, delta=1.6, max_epochs=6)
    for number, run in enumerate(runs):
        run["lr"] *= [0.01, 1, 30][number % 3]
    trained = train(task, runs, settings)
    for number, (run, rows) in enumerate(zip(runs, trained.rows(), strict=True)):
        limits = limits_of(run, settings)
        pairs = zip(rows["loss"].tolist(), rows["grad_norm"].tolist(), strict=True)
        codes = [outcome_code(*pair, epoch, *limits) for epoch, pair in enumerate(pairs)]
        assert codes[:-1] == [RUNNING] * (len(codes) - 1)
        found = trained.outcomes
        assert (found.code[number], found.epoch[number]) == (codes[-1], len(codes) - 1)
        for name, last in (("loss", found.loss), ("grad_norm", found.grad_norm)):
            np.testing.assert_array_equal(last[number].astype(np.float32), rows[name][-1])
    assert set(trained.outcomes.code.tolist()) == {CONVERGED, STUCK, CAPPED, DIVERGED}


@pytest.mark.parametrize("max_epochs", [1, 5])
def test_a_capped_run_has_a_row_an_epoch_up_to_the_cap(
    settings: MlpSettings, max_epochs: int
) -> None:
    task = TASKS["binary"]
    runs = draw_runs(task, 6, 1, max_epochs=max_epochs)
    trained = train(task, runs, settings)
    assert (trained.outcomes.code == CAPPED).all()
    assert (trained.outcomes.epoch == max_epochs).all()
    assert all(len(rows["loss"]) == max_epochs + 1 for rows in trained.rows())


def test_only_a_full_batch_run_can_be_stuck(settings: MlpSettings) -> None:
    """A minibatch's gradient says nothing of the loss's."""
    task = TASKS["cross_entropy"]
    runs = [make_run(task, i, batch_size=(1, 8, N_TRAIN)[i % 3], delta=1e3) for i in range(6)]
    outcomes = train(task, runs, settings).outcomes
    assert outcomes.code.tolist() == [CAPPED, CAPPED, STUCK] * 2
    assert outcomes.epoch.tolist() == [4, 4, 0] * 2


def test_a_run_that_is_both_converged_and_stuck_is_converged(settings: MlpSettings) -> None:
    task = TASKS["binary"]
    run = make_run(task, 0, batch_size=N_TRAIN, delta=1e3, epsilon=1e3)
    outcomes = train(task, [run], settings).outcomes
    assert (outcomes.code.tolist(), outcomes.epoch.tolist()) == ([CONVERGED], [0])


def test_a_diverged_run_keeps_its_first_bad_epoch(settings: MlpSettings) -> None:
    task = TASKS["squared"]
    runs = [make_run(task, i, lr=lr, activation="relu") for i, lr in enumerate((1e25, 3.0, 0.01))]
    trained = train(task, runs, settings)
    assert trained.outcomes.code.tolist() == [DIVERGED, DIVERGED, CAPPED]
    for rows in trained.rows()[:2]:
        assert (rows["loss"][:-1] <= 1e6).all()
        assert not rows["loss"][-1] <= 1e6
    assert trained.outcomes.epoch[0] == 1


def test_outcomes_of_all_runs_are_there_at_the_end(mixed: Mixed) -> None:
    _, runs, trained = mixed
    assert trained.outcomes.code.shape == (len(runs),)
    assert (trained.outcomes.code != RUNNING).all()
    lengths = [len(rows["loss"]) for rows in trained.rows()]
    np.testing.assert_array_equal(trained.outcomes.epoch + 1, lengths)


# Blocks


def joined(blocks: Sequence[EpochBlock]) -> Mapping[str, np.ndarray]:
    names = blocks[0].columns
    return {name: np.concatenate([block.columns[name] for block in blocks]) for name in names}


def run_bytes(block: EpochBlock) -> np.ndarray:
    """Return the bytes of each run of a block."""
    row = sum(values[0].nbytes for values in block.columns.values())
    return row * np.bincount(block.run, minlength=block.n_runs)


@pytest.mark.parametrize("block_bytes", [1, 5_000, 20_000, 1 << 30])
def test_blocks_hold_whole_runs_in_order(
    mixed: Mixed, settings: MlpSettings, block_bytes: int
) -> None:
    task, runs, _ = mixed
    runs = sorted(runs, key=lambda run: run["batch_size"])
    whole = train(task, runs, settings, block_bytes=1 << 40)
    assert len(whole.blocks) == 1
    trained = train(task, runs, replace(settings, lanes=3), block_bytes=block_bytes)
    firsts = np.cumsum([0, *[block.n_runs for block in trained.blocks]])
    assert [block.first_run for block in trained.blocks] == firsts[:-1].tolist()
    assert firsts[-1] == len(runs)
    for block in trained.blocks:
        members = slice(block.first_run, block.first_run + block.n_runs)
        lengths = trained.outcomes.epoch[members] + 1
        np.testing.assert_array_equal(block.run, np.repeat(np.arange(block.n_runs), lengths))
        np.testing.assert_array_equal(block.epoch, np.concatenate([np.arange(n) for n in lengths]))
        assert {block.run.dtype, block.epoch.dtype} == {np.dtype(np.int32)}
    for name, values in joined(whole.blocks).items():
        assert joined(trained.blocks)[name].tobytes() == values.tobytes()


@pytest.mark.parametrize("block_bytes", [1, 5_000, 20_000])
def test_a_block_is_closed_by_the_run_that_fills_it(
    mixed: Mixed, settings: MlpSettings, block_bytes: int
) -> None:
    """Or a slow first run would make one block, and one row group, of all that follow it."""
    task, runs, _ = mixed
    slow = make_run(task, 77, lr=1e-6, epsilon=runs[0]["epsilon"])
    quick = [{**run, "batch_size": 8} for run in runs]
    trained = train(task, [slow, *quick], settings, block_bytes=block_bytes)
    for block in trained.blocks[:-1]:
        sizes = run_bytes(block)
        assert sizes.sum() >= block_bytes
        assert sizes[:-1].sum() < block_bytes
    assert run_bytes(trained.blocks[-1])[:-1].sum() < block_bytes


@pytest.mark.parametrize("lanes", [2, 5])
def test_where_blocks_end_does_not_depend_on_the_lanes(
    mixed: Mixed, settings: MlpSettings, lanes: int
) -> None:
    """Blocks are row groups: the bytes of the file depend on them."""
    task, runs, _ = mixed
    ends = [
        [block.n_runs for block in train(task, runs, each, block_bytes=10_000).blocks]
        for each in (settings, replace(settings, lanes=lanes))
    ]
    assert ends[0] == ends[1]


def test_path_length_is_the_sum_of_the_updates(mixed: Mixed) -> None:
    _, _, trained = mixed
    for rows in trained.rows():
        moves = np.linalg.norm(np.diff(rows["params"].astype(np.float64), axis=0), axis=1)
        np.testing.assert_allclose(rows["update_norm"], [0, *moves], rtol=1e-4)
        np.testing.assert_allclose(rows["path_length"], np.cumsum(rows["update_norm"]), rtol=1e-5)
