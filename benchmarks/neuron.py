"""Speed of the neuron engine: run-epochs simulated and recorded a second.

Run with ``python benchmarks/neuron.py``; it takes about half a minute. One line a figure:

1. the engine into its reused buffers, one core: |w.x + b|, full batch and online;
2. a plain PyTorch loop on one thread that records the same columns, one model at a time. It does
   without `torch.nn` and `torch.optim`, which would make it two to three times slower;
3. the same runs into Parquet, with page checksums, hashes and fsync as the pipeline writes them,
   in one process and in two side by side;
4. the limit: a kernel that writes as many columns of such buffers from registers, and does nothing
   else: row by row, as an engine has to (a row follows from the one before), and column by column.

Every figure is the best of several repetitions. Those of 1, 2 and 4 alternate, so that their ratios
hold on a machine that does other things too. Compilation is not measured. ``--check`` exits with 1
if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import torch

from epochs_left.dynamics.criterion import Criterion
from epochs_left.dynamics.xor import N_EXAMPLES, XOR_INPUTS, XOR_TARGETS
from epochs_left.parallel import parallel_map
from epochs_left.schema import epochs_schema
from epochs_left.simulation.neuron import BLOCK_ROWS, EpochBuffers, NeuronEngine, NeuronRuns
from epochs_left.simulation.runner import CHUNK_RUNS
from epochs_left.storage.epoch_shards import ShardWriter

CRITERION = Criterion(epsilon=1e-6, delta=1e-8, divergence_loss=1e6, max_epochs=1000)
LR_RANGE = (2e-3, 0.5)  # log-uniform, as in params.yaml, up to what the closed form covers
ROUNDS = 10  # of engine, PyTorch and limit in turn
SHARD_ROUNDS = 12
ENGINE_RUNS = {"full batch": 4_000, "online": 1_000}
TORCH_RUNS = {"full batch": 6, "online": 4}
SHARD_RUNS = 6_000  # 2 million rows
PARQUET = {"Parquet, one process": 1, "Parquet, two processes": 2}

# goals, from the project's first milestone
RATIO_GOAL = 5_000
TORCH_GOAL = 4_000  # run-epochs/s: a slower loop would flatter the ratio
PARQUET_GOAL = 10e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    speed = best_in_turn(
        {
            **{f"engine, {kind}": engine_task(kind) for kind in ENGINE_RUNS},
            **{f"PyTorch, {kind}": torch_task(kind) for kind in TORCH_RUNS},
            "limit, row by row": limit_task(write_row_by_row),
            "limit, column by column": limit_task(write_by_column),
        }
    )
    speed |= {name: recorded_speed(jobs) for name, jobs in PARQUET.items()}
    for name, value in speed.items():
        print(f"{name:28} {value:15,.0f} run-epochs/s")
    sys.exit(0 if all(verdicts(speed)) or not arguments.check else 1)


def verdicts(speed: dict[str, float]) -> list[bool]:
    """Print the ratios and say of each goal whether it is met."""
    for kind in ENGINE_RUNS:
        ratio = speed[f"engine, {kind}"] / speed[f"PyTorch, {kind}"]
        print(f"engine / PyTorch, {kind}: {ratio:,.0f}x (goal in full batch: {RATIO_GOAL:,}x)")
    for limit in ("row by row", "column by column"):
        share = speed["engine, full batch"] / speed[f"limit, {limit}"]
        print(f"engine / memory-write limit, {limit}: {share:.1%}")
    parquet = max(speed[name] for name in PARQUET)
    print(f"into Parquet: {parquet / 1e6:.1f} M/s (goal: {PARQUET_GOAL / 1e6:.0f} M/s)")
    ratio = speed["engine, full batch"] / speed["PyTorch, full batch"]
    torch_is_fair = speed["PyTorch, full batch"] >= TORCH_GOAL
    return [ratio >= RATIO_GOAL, torch_is_fair, parquet >= PARQUET_GOAL]


def best_in_turn(tasks: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Return the best rows a second of each task; the tasks take turns, after a first call."""
    best = dict.fromkeys(tasks, 0.0)
    for task in tasks.values():
        task()
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            start = time.perf_counter()
            rows = task()
            best[name] = max(best[name], rows / (time.perf_counter() - start))
    return best


# 1. The engine


def draw_runs(n: int, kind: str, seed: int = 0) -> NeuronRuns:
    rng = np.random.default_rng(seed)
    low, high = LR_RANGE
    return NeuronRuns(
        n_hidden=0,
        activation=np.zeros(n, dtype=np.int64),
        params=rng.standard_normal((n, 3)),
        lr=low * (high / low) ** rng.random(n),
        momentum=np.zeros(n),
        nesterov=np.zeros(n, dtype=np.bool_),
        online=np.full(n, kind == "online"),
        order_key=rng.integers(2**32, size=(n, 2), dtype=np.uint32),
    )


def engine_task(kind: str) -> Callable[[], int]:
    """Return a task that simulates into buffers that the first call has touched."""
    runs = draw_runs(ENGINE_RUNS[kind], kind)
    buffers = NeuronEngine(runs, CRITERION).buffers

    def simulate() -> int:
        engine = NeuronEngine(runs, CRITERION)
        engine.buffers = buffers
        return sum(block.epoch.size for block in engine.blocks(CHUNK_RUNS))

    return simulate


# 2. The same in PyTorch


def torch_task(kind: str) -> Callable[[], int]:
    runs = draw_runs(TORCH_RUNS[kind], kind)
    rng = np.random.default_rng(0)

    def train_all() -> int:
        pairs = zip(torch.from_numpy(runs.params), runs.lr.tolist(), strict=True)
        return sum(len(train(theta, lr, kind == "online", rng)) for theta, lr in pairs)

    return train_all


DESIGN = torch.from_numpy(np.column_stack([XOR_INPUTS, np.ones(N_EXAMPLES)]))
TARGETS = torch.from_numpy(XOR_TARGETS)


def train(
    initial: torch.Tensor, lr: float, online: bool, rng: np.random.Generator
) -> list[tuple[float, ...]]:
    """Train one unit as a PyTorch user would; return a row an epoch, columns as the engine's."""
    theta = initial.clone().requires_grad_()
    before, outputs_before = initial, None
    path_length = kl = 0.0
    rows = []
    for epoch in range(CRITERION.max_epochs + 1):
        outputs = (DESIGN @ theta).abs()
        loss = torch.nn.functional.mse_loss(outputs, TARGETS)
        (grad,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            loss_now, grad_norm = loss.item(), grad.norm().item()
            update_norm = (theta - before).norm().item()
            path_length += update_norm
            if outputs_before is not None:
                kl = 0.5 * torch.nn.functional.mse_loss(outputs, outputs_before).item()
            measures = (loss_now, grad_norm, update_norm, path_length, kl, lr)
            rows.append((epoch, *measures, *theta.tolist()))
            diverged = not loss_now <= CRITERION.divergence_loss
            if diverged or loss_now < CRITERION.epsilon or grad_norm < CRITERION.delta:
                break
            before, outputs_before = theta.detach().clone(), outputs.detach()
            if not online:
                theta -= lr * grad
        if online:
            train_online(theta, lr, rng)
    return rows


def train_online(theta: torch.Tensor, lr: float, rng: np.random.Generator) -> None:
    """Take one pass over the examples, a step each."""
    for example in rng.permutation(N_EXAMPLES).tolist():
        loss = ((DESIGN[example] @ theta).abs() - TARGETS[example]).square()
        (grad,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= lr * grad


# 3. Into Parquet


def recorded_speed(jobs: int) -> float:
    """Return the best rows a second of ``jobs`` processes that write a shard each."""
    best = 0.0
    with tempfile.TemporaryDirectory() as folder:
        tasks = [(seed, Path(folder) / f"epochs-{seed}.parquet") for seed in range(jobs)]
        list(parallel_map(record, tasks, jobs))
        for _ in range(SHARD_ROUNDS):
            start = time.perf_counter()
            rows = sum(parallel_map(record, tasks, jobs))
            best = max(best, rows / (time.perf_counter() - start))
    return best


def record(task: tuple[int, Path]) -> int:
    """Simulate and write one shard; return its rows."""
    seed, path = task
    engine = NeuronEngine(draw_runs(SHARD_RUNS, "full batch", seed), CRITERION)
    names = [f"{run:016x}" for run in range(SHARD_RUNS)]
    writer = ShardWriter(path, epochs_schema(3))
    for block in engine.blocks(CHUNK_RUNS):
        ids = names[block.first_run : block.first_run + block.n_runs]
        writer.write(ids, block.run, block.epoch, block.columns)
    return writer.publish().rows


# 4. The memory-write limit


def limit_task(write: Callable[..., None]) -> Callable[[], int]:
    """Return a task that writes every column of the engine's buffers, and computes nothing."""
    buffers = EpochBuffers(BLOCK_ROWS, n_params=3)

    def fill() -> int:
        write(buffers.run, buffers.epoch, buffers.columns, 1.5)
        return BLOCK_ROWS

    return fill


@numba.njit
def write_row_by_row(run, epoch, columns, value):  # type: ignore[no-untyped-def]
    for row in range(run.size):
        run[row] = row
        epoch[row] = row
        for column in range(columns.shape[0]):
            columns[column, row] = value


@numba.njit
def write_by_column(run, epoch, columns, value):  # type: ignore[no-untyped-def]
    for row in range(run.size):
        run[row] = row
        epoch[row] = row
    for column in range(columns.shape[0]):
        for row in range(run.size):
            columns[column, row] = value


if __name__ == "__main__":
    main()
