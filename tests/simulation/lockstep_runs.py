"""Small tasks and runs for the lockstep engine, and a training of them; loaded by its tests."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from epochs_left.dynamics.schedules import SCHEDULES
from epochs_left.simulation.engine import EpochBlock, Outcomes, TrainingJob
from epochs_left.simulation.lockstep import LockstepEngine
from epochs_left.workloads import TaskData
from epochs_left.workloads._networks import OPTIMIZERS, WEIGHT_DECAY_MODES
from epochs_left.workloads.mlp import ACTIVATIONS, Mlp, MlpSettings, layer_sizes

ROOT_SEED = 3
N_TRAIN = 24
ARCHITECTURES = {"binary": "5-16-8-1", "cross_entropy": "6-16-8-4", "squared": "3-12-1"}
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


def initial(runs: Sequence[Run]) -> np.ndarray:
    return Mlp().initial_params(pa.Table.from_pylist(list(runs)), ROOT_SEED)
